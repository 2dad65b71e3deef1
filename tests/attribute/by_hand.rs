//! `Lock::run` and the builder take what the attribute takes: the same function by both, one test for each argument.

use crate::store;
use distributed_locks::{Error, ErrorKind, Lock, OnLost, distributed_lock};
use std::time::Duration;

struct Config {
    wait: Option<Duration>,
}

#[tokio::test]
async fn key_client_name_and_guard() {
    let locks = store("by-hand-name");
    let job = 7;
    let lock = locks.lock(format!("/by-hand/{job}")).name("the nightly report");
    let (key, line) = lock
        .run(async |guard| (guard.key().to_string(), store("by-hand-name").inspect("/by-hand/7").await.unwrap()))
        .await
        .unwrap();
    assert_eq!(key, "/by-hand/7");
    assert!(format!("{line:?}").contains("the nightly report"), "{line:?}");
}

#[tokio::test]
async fn durations_of_a_configuration() {
    #[distributed_lock(key = "/by-hand/wait", wait = config.wait, client = &store("by-hand-wait"))]
    async fn locked(config: &Config) -> Result<(), Error> {
        Ok(())
    }
    let locks = store("by-hand-wait");
    let by_hand = |config: &Config| locks.lock("/by-hand/wait").wait(config.wait).run(async |_| ());
    let (none, short) = (Config { wait: None }, Config { wait: Some(Duration::ZERO) });
    for config in [&none, &short] {
        locked(config).await.unwrap();
        by_hand(config).await.unwrap();
    }
    let guard = locks.lock("/by-hand/wait").acquire().await.unwrap();
    assert_eq!(locked(&short).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(by_hand(&short).await.unwrap_err().kind(), ErrorKind::Busy);
    // Without a limit both wait until it is free.
    let (attribute, hand, released) = tokio::join!(locked(&none), by_hand(&none), guard.release());
    attribute.and(hand).and(released).unwrap();
}

#[tokio::test]
async fn each_duration_is_checked() {
    let locks = store("by-hand-checked");
    let too_long = Duration::from_secs(400 * 24 * 3600);
    type With = fn(Lock, Duration) -> Lock;
    let wrong: [(&str, With); 4] = [
        ("`ttl`", |lock, wrong| lock.ttl(wrong)),
        ("`wait`", |lock, wrong| lock.wait(Some(wrong))),
        ("`hold_at_least`", |lock, wrong| lock.hold_at_least(wrong)),
        ("`hold_at_most`", |lock, wrong| lock.hold_at_most(Some(wrong))),
    ];
    for (name, with) in wrong {
        let error = with(locks.lock("/by-hand/checked"), too_long).run(async |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn limits_and_loss() {
    let locks = store("by-hand-limits");
    let lock = || locks.lock("/by-hand/limits").wait(Duration::ZERO);
    // Not for ever: if it is not stopped, the test fails instead of hanging.
    let most = lock().hold_at_most(Duration::from_millis(30));
    let stopped = most.run(async |_| tokio::time::sleep(Duration::from_secs(20)).await).await.unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::LimitPassed);
    let removed = async |on_lost| {
        let lock = lock().on_lost(on_lost);
        lock.run(async |guard| {
            locks.force_release("/by-hand/limits").await.unwrap();
            let lost = guard.lost().await.kind();
            tokio::task::yield_now().await;
            lost
        })
        .await
        .map_err(|error| error.kind())
    };
    assert_eq!(removed(OnLost::Cancel).await, Err(ErrorKind::Lost));
    assert_eq!(removed(OnLost::Continue).await, Ok(ErrorKind::Lost));
    lock().hold_at_least(Duration::from_secs(60)).run(async |_| ()).await.unwrap();
    assert_eq!(lock().run(async |_| ()).await.unwrap_err().kind(), ErrorKind::Busy);
}
