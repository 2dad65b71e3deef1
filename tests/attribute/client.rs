//! `client = …` and the global client.

use crate::store;
use distributed_locks::{Error, ErrorKind, Locks, distributed_lock};
use std::sync::Arc;

struct Service {
    locks: Arc<Locks>,
}

impl Service {
    #[distributed_lock(key = "/client/{job}", wait = 0, client = &self.locks)]
    async fn run(&self, job: &str) -> Result<(), Error> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[distributed_lock(key = "/client/argument", wait = 0, client = locks)]
async fn injected(locks: &Locks) -> Result<(), Error> {
    Ok(())
}

/// A temporary is dropped before the function awaits.
#[distributed_lock(key = "/client/temporary", wait = 0, client = &connected(name))]
async fn temporary(name: &str) -> Result<(), Error> {
    Ok(())
}

fn connected(name: &str) -> Locks {
    store(name)
}

#[distributed_lock(key = "/client/global", wait = 0)]
async fn global() -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn the_named_client_is_used() {
    let locks = store("client");
    let service = Service { locks: Arc::new(locks.clone()) };
    let elsewhere = Service { locks: Arc::new(store("client-elsewhere")) };
    let guards = [
        locks.lock("/client/x").acquire().await.unwrap(),
        locks.lock("/client/argument").acquire().await.unwrap(),
        locks.lock("/client/temporary").acquire().await.unwrap(),
    ];
    assert_eq!(service.run("x").await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(injected(&locks).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(temporary("client").await.unwrap_err().kind(), ErrorKind::Busy);
    elsewhere.run("x").await.unwrap();
    injected(&elsewhere.locks).await.unwrap();
    temporary("client-elsewhere").await.unwrap();
    drop(guards);
}

#[tokio::test]
async fn without_it_the_global_client_is_used() {
    distributed_locks::init("memory:client-global").unwrap();
    global().await.unwrap();
    let _guard = store("client-global").lock("/client/global").acquire().await.unwrap();
    assert_eq!(global().await.unwrap_err().kind(), ErrorKind::Busy);
}
