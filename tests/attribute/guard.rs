//! `guard = name`.

use crate::store;
use distributed_locks::{Error, Guard, distributed_lock};

#[distributed_lock(key = "/guard/{job}", wait = 0, guard = held)]
async fn fenced(job: &str) -> Result<(u64, String), Error> {
    let guard: &Guard = held;
    tokio::task::yield_now().await;
    guard.check()?;
    Ok((held.fence().to_u64(), held.key().to_string()))
}

#[distributed_lock(key = "/guard/{job}", wait = 0)]
async fn current(job: &str) -> Result<u64, Error> {
    Ok(distributed_locks::current().unwrap().fence().to_u64())
}

#[tokio::test]
async fn the_body_has_its_guard() {
    let locks = store("guard");
    distributed_locks::scoped(locks, async {
        let (first, key) = fenced("a").await.unwrap();
        assert_eq!(key, "/guard/a");
        let second = current("a").await.unwrap();
        assert!(second > first, "{second} after {first}");
    })
    .await;
}
