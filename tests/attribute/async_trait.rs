//! `#[async_trait]`, which rewrites the function before `distributed_lock` sees it.

use crate::{assert_locked, current_key, store};
use async_trait::async_trait;
use distributed_locks::{Error, distributed_lock};
use std::sync::Arc;

#[async_trait]
trait Job: Sync {
    fn id(&self) -> u32;

    #[distributed_lock(key = "/async_trait/default/{self.id()}", wait = 0)]
    async fn run(&self) -> Result<String, Error> {
        Ok(current_key())
    }

    async fn by_name(&self, name: &str, times: u32) -> Result<String, Error>;
    async fn by_pattern(&self, pair: (u32, String)) -> Result<String, Error>;
    async fn by_arc(self: Arc<Self>) -> Result<u32, Error>;
    async fn by_mut(&mut self, mut by: u32) -> Result<u32, Error>;
    async fn nothing(&self, ran: &mut bool);
    async fn associated(id: u32) -> Result<u32, Error>
    where
        Self: Sized;
    async fn with_guard(&self) -> Option<u64>;
}

#[derive(Clone)]
struct Report {
    id: u32,
}

#[async_trait]
impl Job for Report {
    fn id(&self) -> u32 {
        self.id
    }

    #[distributed_lock(key = "/async_trait/{name}/{times:02}", wait = 0)]
    async fn by_name(&self, name: &str, times: u32) -> Result<String, Error> {
        if times == 0 {
            return Ok("never".to_owned());
        }
        Ok(format!("{name}{}", self.id))
    }

    #[distributed_lock(key = "/async_trait/{number}/{text}/{self.id}", wait = 0)]
    async fn by_pattern(&self, (number, text): (u32, String)) -> Result<String, Error> {
        Ok(format!("{number}{text}"))
    }

    #[distributed_lock(key = "/async_trait/arc/{self.id}", wait = 0)]
    async fn by_arc(self: Arc<Self>) -> Result<u32, Error> {
        Ok(self.id)
    }

    #[distributed_lock(key = "/async_trait/mut/{self.id}", wait = 0)]
    async fn by_mut(&mut self, mut by: u32) -> Result<u32, Error> {
        by += 1;
        self.id += by;
        Ok(self.id)
    }

    #[distributed_lock(key = "/async_trait/nothing", wait = 0)]
    async fn nothing(&self, ran: &mut bool) {
        *ran = true;
    }

    #[distributed_lock(key = "/async_trait/{id}", wait = 0)]
    async fn associated(id: u32) -> Result<u32, Error> {
        Ok(id)
    }

    #[distributed_lock(key = "/async_trait/guard", wait = 0, guard = held)]
    async fn with_guard(&self) -> Option<u64> {
        tokio::task::yield_now().await;
        Some(held.fence().to_u64())
    }
}

#[tokio::test]
async fn every_kind_of_method_is_locked() {
    let locks = store("async_trait");
    let report = Report { id: 5 };
    assert_locked(&locks, "/async_trait/default/5", async || report.run().await).await;
    assert_locked(&locks, "/async_trait/x/07", async || report.by_name("x", 7).await).await;
    assert_locked(&locks, "/async_trait/8/y/5", async || report.by_pattern((8, "y".to_owned())).await).await;
    assert_locked(&locks, "/async_trait/arc/5", async || Arc::new(report.clone()).by_arc().await).await;
    assert_locked(&locks, "/async_trait/mut/5", async || report.clone().by_mut(1).await).await;
    assert_locked(&locks, "/async_trait/9", async || Report::associated(9).await).await;
}

#[tokio::test]
async fn bodies_work_as_without_the_attribute() {
    let locks = store("async_trait-bodies");
    let mut report = Report { id: 5 };
    assert_eq!(distributed_locks::scoped(locks.clone(), report.by_name("x", 0)).await.unwrap(), "never");
    assert_eq!(distributed_locks::scoped(locks.clone(), report.by_name("x", 1)).await.unwrap(), "x5");
    assert_eq!(distributed_locks::scoped(locks.clone(), report.by_mut(1)).await.unwrap(), 7);
    assert!(distributed_locks::scoped(locks.clone(), report.with_guard()).await.is_some());
    let (mut ran_free, mut ran_held) = (false, false);
    distributed_locks::scoped(locks.clone(), report.nothing(&mut ran_free)).await;
    let _guard = locks.lock("/async_trait/nothing").acquire().await.unwrap();
    distributed_locks::scoped(locks, report.nothing(&mut ran_held)).await;
    assert_eq!((ran_free, ran_held), (true, false));
}
