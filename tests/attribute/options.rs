//! Options reach the runtime, which has its own tests of their effects.

#![expect(clippy::disallowed_methods, reason = "callers of one process are tasks")]

use crate::store;
use distributed_locks::{Error, ErrorKind, distributed_lock};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

struct Config {
    ttl: Duration,
}

#[distributed_lock(key = "/options/wait", wait = "20ms")]
async fn waits() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/options/wait", wait = SHORT, ttl = config.ttl)]
async fn waits_by_constant(config: &Config) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/options/wait", wait = seconds, hold_at_most = most)]
async fn waits_by_number(seconds: i64, most: Option<Duration>) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/options/most", hold_at_most = "30ms")]
async fn never_ends() -> Result<(), Error> {
    // Not for ever: if it is not stopped, the test fails instead of hanging.
    tokio::time::sleep(Duration::from_secs(20)).await;
    Ok(())
}

#[distributed_lock(key = "/options/least", hold_at_least = 60)]
async fn short() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/options/name", name = "the nightly report")]
async fn named() -> Result<String, Error> {
    holder("/options/name").await
}

#[distributed_lock(key = "/options/unnamed")]
async fn unnamed() -> Result<String, Error> {
    holder("/options/unnamed").await
}

/// The holder of `key`, as other clients see it.
async fn holder(key: &str) -> Result<String, Error> {
    let line = store("options-name").inspect(key).await?;
    Ok(format!("{line:?}"))
}

#[tokio::test]
async fn wait_ends() {
    let locks = store("options-wait");
    let _guard = locks.lock("/options/wait").acquire().await.unwrap();
    distributed_locks::scoped(locks.clone(), async {
        assert_eq!(waits().await.unwrap_err().kind(), ErrorKind::Timeout);
        let config = Config { ttl: Duration::from_secs(3) };
        assert_eq!(waits_by_constant(&config).await.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(waits_by_number(0, None).await.unwrap_err().kind(), ErrorKind::Busy);
        let negative = waits_by_number(-1, None).await.unwrap_err();
        assert_eq!(negative.kind(), ErrorKind::InvalidOption, "{negative}");
        assert!(negative.to_string().contains("`wait` must not be negative"), "{negative}");
    })
    .await;
}

#[tokio::test]
async fn a_computed_duration_is_checked_when_it_is_known() {
    let error =
        distributed_locks::scoped(store("options-computed"), waits_by_constant(&Config { ttl: Duration::ZERO })).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert!(error.to_string().contains("`ttl` must be more than 0"), "{error}");
}

#[tokio::test]
async fn hold_at_most_stops_the_body() {
    let error = distributed_locks::scoped(store("options-most"), never_ends()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitPassed);
}

#[tokio::test]
async fn hold_at_least_outlasts_the_body() {
    let locks = store("options-least");
    distributed_locks::scoped(locks.clone(), short()).await.unwrap();
    assert!(locks.lock("/options/least").try_acquire().await.unwrap().is_none());
}

#[tokio::test]
async fn the_holder_has_its_name_and_origin() {
    let locks = store("options-name");
    let named = distributed_locks::scoped(locks.clone(), named()).await.unwrap();
    assert!(named.contains("the nightly report"), "{named}");
    let unnamed = distributed_locks::scoped(locks, unnamed()).await.unwrap();
    assert!(unnamed.contains("attribute::options::unnamed"), "{unnamed}");
    assert!(unnamed.contains("options.rs"), "{unnamed}");
}

#[distributed_lock(key = "/options/crowded", max_waiting = 2)]
async fn crowded() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/options/crowded", max_waiting = most)]
async fn crowded_by(most: u64) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn one_waiter_too_many_is_refused_at_once() {
    let locks = store("max_waiting");
    let held = locks.lock("/options/crowded").name("the holder").acquire().await.unwrap();
    let waiting = [(); 2].map(|()| tokio::spawn(distributed_locks::scoped(locks.clone(), crowded())));
    tokio::task::yield_now().await;
    let refused = distributed_locks::scoped(locks.clone(), crowded()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert!(refused.to_string().contains("`max_waiting` = 2"), "{refused}");
    assert!(refused.holder().is_some_and(|holder| holder.name == "the holder"), "{refused}");
    assert_eq!(distributed_locks::scoped(locks.clone(), crowded_by(1)).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(
        distributed_locks::scoped(locks.clone(), crowded_by(0)).await.unwrap_err().kind(),
        ErrorKind::InvalidOption
    );
    held.release().await.unwrap();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    distributed_locks::scoped(locks, crowded()).await.unwrap();
}
