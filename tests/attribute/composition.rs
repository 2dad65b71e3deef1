//! Together with other attributes, in either order.

#![deny(unused_must_use)]

use crate::{assert_locked, current_key, store};
use async_trait::async_trait;
use distributed_locks::{Error, distributed_lock};

#[tracing::instrument(skip_all, err, ret)]
#[distributed_lock(key = "/composition/{job}", wait = 0)]
async fn instrumented_outside(job: &str) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(key = "/composition/{job}", wait = 0)]
#[tracing::instrument(fields(job), err)]
async fn instrumented_inside(job: &str) -> Result<String, Error> {
    Ok(current_key())
}

/// Documented.
#[must_use]
#[distributed_lock(key = "/composition/must-use", wait = 0)]
#[inline]
async fn must_use() -> Option<u8> {
    Some(1)
}

#[distributed_lock(key = "/composition/cfg", wait = 0)]
#[cfg(any())]
async fn left_out() -> NoSuchType {}

#[cfg(test)]
#[distributed_lock(key = "/composition/cfg", wait = 0)]
#[expect(unused_variables, reason = "lint attributes are for the body too")]
async fn left_out(#[cfg(any())] gone: NoSuchType, #[cfg(test)] here: u8) -> Result<u8, Error> {
    let unused = 1;
    Ok(here)
}

/// Two locks, the upper one acquired first.
#[distributed_lock(key = "/composition/outer/{id}", wait = 0, guard = outer)]
#[distributed_lock(key = "/composition/inner/{id}", wait = 0, guard = inner)]
async fn twice(id: u32) -> Result<(String, String), Error> {
    Ok((outer.key().to_string(), inner.key().to_string()))
}

#[async_trait]
trait Job {
    async fn outside(&self, id: u8) -> Result<String, Error>;
    async fn inside(&self, id: u8) -> Result<String, Error>;
}

#[async_trait]
impl Job for u8 {
    #[tracing::instrument(skip(self))]
    #[distributed_lock(key = "/composition/{self}/{id}", wait = 0)]
    async fn outside(&self, id: u8) -> Result<String, Error> {
        assert_eq!(id, 2);
        Ok(current_key())
    }

    #[distributed_lock(key = "/composition/{self}/{id}", wait = 0)]
    #[tracing::instrument(skip(self))]
    async fn inside(&self, id: u8) -> Result<String, Error> {
        Ok(current_key())
    }
}

#[distributed_lock(key = "/composition/runtime", wait = 0, client = &store("composition-runtime"))]
#[tokio::main]
async fn runtime_inside() -> Result<String, Error> {
    tokio::task::yield_now().await;
    Ok(current_key())
}

#[tokio::main(flavor = "current_thread")]
#[distributed_lock(key = "/composition/runtime", wait = 0, client = &store("composition-runtime"))]
async fn runtime_outside(short: bool) -> Result<String, Error> {
    if short {
        return Ok("short".to_owned());
    }
    tokio::task::yield_now().await;
    Ok(current_key())
}

/// The body can be stopped when the lock is lost, although the function is a plain one for its callers.
#[tokio::main(flavor = "current_thread")]
#[distributed_lock(key = "/composition/most", hold_at_most = "20ms", client = &store("composition-most"))]
async fn stopped() -> Result<(), Error> {
    // Not for ever: if it is not stopped, the test fails instead of hanging.
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    Ok(())
}

#[tokio::test]
#[distributed_lock(key = "/composition/test", client = &store("composition-test"))]
async fn a_test_outside() -> Result<(), Error> {
    assert_eq!(current_key(), "/composition/test");
    Ok(())
}

#[distributed_lock(key = "/composition/test", client = &store("composition-test"))]
#[tokio::test]
async fn a_test_inside() -> Result<(), Error> {
    assert_eq!(current_key(), "/composition/test");
    Ok(())
}

#[test]
#[should_panic(expected = "the test did not run: ")]
#[distributed_lock(key = String::new(), client = &store("composition-test"))]
fn a_plain_test_that_does_not_run_fails() {}

#[tokio::test]
#[should_panic(expected = "the key is empty")]
#[distributed_lock(key = String::new(), client = &store("composition-test"), or = panic!("{error}"))]
async fn a_test_that_says_so_does() {}

#[tokio::test]
async fn spans_may_be_outside_or_inside_of_locks() {
    let locks = store("composition");
    assert_locked(&locks, "/composition/x", async || instrumented_outside("x").await).await;
    assert_locked(&locks, "/composition/x", async || instrumented_inside("x").await).await;
    assert_locked(&locks, "/composition/7/2", async || 7.outside(2).await).await;
    assert_locked(&locks, "/composition/7/2", async || 7.inside(2).await).await;
    assert_locked(&locks, "/composition/cfg", async || left_out(1).await).await;
    assert_locked(&locks, "/composition/must-use", async || must_use().await.ok_or_else(busy)).await;
}

#[tokio::test]
async fn two_locks_are_both_acquired() {
    let locks = store("composition-twice");
    let keys = distributed_locks::scoped(locks.clone(), twice(1)).await.unwrap();
    assert_eq!(keys, ("/composition/outer/1".to_owned(), "/composition/inner/1".to_owned()));
    for key in [keys.0, keys.1] {
        let _guard = locks.lock(&key).acquire().await.unwrap();
        let error = distributed_locks::scoped(locks.clone(), twice(1)).await.unwrap_err();
        assert_eq!(error.key().map(ToString::to_string), Some(key));
    }
}

/// The error that a function which returns an `Option` cannot return.
fn busy() -> Error {
    let key = distributed_locks::Key::new("/composition/must-use").unwrap();
    Error::new(distributed_locks::ErrorKind::Busy, "not run").with_key(&key)
}

#[test]
fn a_runtime_can_be_inside_or_outside() {
    let locks = store("composition-runtime");
    assert_eq!(runtime_inside().unwrap(), "/composition/runtime");
    assert_eq!(runtime_outside(false).unwrap(), "/composition/runtime");
    assert_eq!(runtime_outside(true).unwrap(), "short");
    let guard = distributed_locks::blocking(locks.lock("/composition/runtime").acquire()).unwrap();
    assert_eq!(runtime_inside().unwrap_err().kind(), distributed_locks::ErrorKind::Busy);
    assert_eq!(runtime_outside(false).unwrap_err().kind(), distributed_locks::ErrorKind::Busy);
    drop(guard);
}

#[test]
fn a_body_under_an_outer_runtime_is_stopped_too() {
    assert_eq!(stopped().unwrap_err().kind(), distributed_locks::ErrorKind::LimitPassed);
}
