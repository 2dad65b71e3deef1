//! Trait methods with a body, and trait implementations.

use crate::{assert_locked, store};
use distributed_locks::{Error, distributed_lock};

trait Job {
    fn id(&self) -> u32;

    #[distributed_lock(key = "/traits/default/{self.id()}", wait = 0)]
    async fn run(&self) -> Result<u32, Error> {
        Ok(self.id())
    }

    async fn stop(&self, why: &str) -> Result<String, Error>;
}

struct Report(u32);

impl Job for Report {
    fn id(&self) -> u32 {
        self.0
    }

    #[distributed_lock(key = "/traits/stop/<why>/{self.0}", wait = 0)]
    async fn stop(&self, why: &str) -> Result<String, Error> {
        Ok(format!("{why} {}", self.0))
    }
}

struct Other;

impl Job for Other {
    fn id(&self) -> u32 {
        0
    }

    #[distributed_lock(key = "/traits/other", wait = 0)]
    async fn run(&self) -> Result<u32, Error> {
        Ok(42)
    }

    async fn stop(&self, _: &str) -> Result<String, Error> {
        Ok(String::new())
    }
}

#[tokio::test]
async fn defaults_and_implementations_are_locked() {
    let locks = store("traits");
    assert_locked(&locks, "/traits/default/3", async || Report(3).run().await).await;
    assert_locked(&locks, "/traits/stop/late/3", async || Report(3).stop("late").await).await;
    assert_locked(&locks, "/traits/other", async || Other.run().await).await;
}
