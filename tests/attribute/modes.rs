//! Readers, writers and permits.

use crate::store;
use distributed_locks::{Error, ErrorKind, Locks, Mode, distributed_lock, scoped};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::time::timeout;

/// Nobody waits so long for whoever is to be inside at the same time.
const LONG: Duration = Duration::from_secs(40);

async fn meet(others: &Barrier) {
    timeout(LONG, others.wait()).await.expect("another body beside this one");
}

#[distributed_lock(key = "/modes/article", mode = shared)]
async fn read(others: &Barrier) -> Result<(), Error> {
    meet(others).await;
    Ok(())
}

#[distributed_lock(key = "/modes/article", mode = shared, wait = 0)]
fn read_at_once() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/modes/article", mode = exclusive, wait = 0)]
async fn write() -> Result<(), Error> {
    Ok(())
}

/// A reader inside a writer.
#[distributed_lock(key = "/modes/article", wait = 0)]
async fn write_and_read() -> Result<(), Error> {
    read(&Barrier::new(1)).await
}

/// A writer inside a reader.
#[distributed_lock(key = "/modes/article", mode = shared)]
async fn read_and_write() -> Result<(), Error> {
    write().await
}

#[distributed_lock(key = "/modes/api", permits = 2)]
async fn call(others: &Barrier) -> Result<(), Error> {
    meet(others).await;
    Ok(())
}

#[distributed_lock(key = "/modes/api", permits = limit, wait = 0)]
async fn call_within(limit: NonZeroU32) -> Result<(), Error> {
    Ok(())
}

/// A call inside a call needs no permit of its own.
#[distributed_lock(key = "/modes/api", permits = 1, wait = 0)]
async fn call_twice() -> Result<(), Error> {
    call_within(NonZeroU32::MIN).await
}

struct Client {
    locks: Locks,
    limit: usize,
}

impl Client {
    #[distributed_lock(key = "/modes/api", permits = self.limit, client = &self.locks, wait = 0)]
    async fn call(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test]
async fn readers_run_beside_each_other_and_not_beside_a_writer() {
    let locks = store("modes-readers");
    scoped(locks.clone(), async {
        let both = Barrier::new(2);
        let (one, other) = tokio::join!(read(&both), read(&both));
        one.and(other).unwrap();
        write().await.unwrap();

        let reader = locks.lock("/modes/article").mode(Mode::Shared).acquire().await.unwrap();
        assert_eq!(write().await.unwrap_err().kind(), ErrorKind::Busy);
        read(&Barrier::new(1)).await.unwrap();
        reader.release().await.unwrap();

        let writer = locks.lock("/modes/article").acquire().await.unwrap();
        let error =
            tokio::task::spawn_blocking(move || distributed_locks::blocking(scoped(locks, async { read_at_once() })));
        assert_eq!(error.await.unwrap().unwrap_err().kind(), ErrorKind::Busy);
        writer.release().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reader_joins_the_writer_around_it_and_a_writer_inside_a_reader_is_a_deadlock() {
    scoped(store("modes-nested"), async {
        write_and_read().await.unwrap();
        let error = read_and_write().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
        assert!(error.to_string().contains("has the lock as shared"), "{error}");
        write().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn as_many_run_as_there_are_permits() {
    let locks = store("modes-permits");
    scoped(locks.clone(), async {
        let both = Barrier::new(2);
        let (one, other) = tokio::join!(call(&both), call(&both));
        one.and(other).unwrap();
        call_twice().await.unwrap();

        let held = locks.lock("/modes/api").mode(Mode::Permits(2)).acquire().await.unwrap();
        call(&Barrier::new(1)).await.unwrap();
        assert_eq!(call_within(NonZeroU32::MIN).await.unwrap_err().kind(), ErrorKind::Busy);
        held.release().await.unwrap();
        call_within(NonZeroU32::MIN).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_any_number_but_none() {
    let client = |limit| Client { locks: store("modes-limits"), limit };
    client(3).call().await.unwrap();
    for limit in [0, usize::MAX] {
        let error = client(limit).call().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        assert!(error.to_string().contains("`permits`"), "{error}");
    }
}
