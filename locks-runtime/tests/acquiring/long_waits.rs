//! A wait that takes long is reported, and one with a limit ends by it.

use crate::events::Warnings;
use crate::{TTL, seconds};
use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, Guard};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_wait_for_this_process_is_reported_once_with_its_holder() {
    let store = TestStore::new();
    let locks = store.client();
    let warnings = Warnings::collect();
    let guard = locks.lock("k").ttl(TTL).name("holder").acquire().await.unwrap();
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(locks.lock("k").ttl(TTL).name("waiter").acquire())).collect();
    sleep(TTL).await;
    assert!(warnings.with("waiting long").is_empty());
    sleep(TTL * 5).await;
    let reported = warnings.with("waiting long");
    assert_eq!(reported.len(), 1, "{reported:?}");
    for part in ["key=k", "holder=holder", "waiter=waiter", "since=2", "waited=2"] {
        assert!(reported[0].contains(part), "{part} in {}", reported[0]);
    }
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_another_process_is_reported_with_whom_the_store_names() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let warnings = Warnings::collect();
    let guard = theirs.lock("k").name("them").acquire().await.unwrap();
    let waiting = tokio::spawn(ours.lock("k").ttl(TTL).acquire());
    sleep(TTL * 6).await;
    let reported = warnings.with("waiting long");
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].contains("holder=them"), "{reported:?}");
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

/// The other order of the two locks, with a limit: it times out, and the one without a limit goes on.
#[tokio::test(start_paused = true)]
async fn a_wait_with_a_limit_times_out_instead_of_a_deadlock() {
    let store = TestStore::new();
    let locks = store.client();
    let crossing = |first: &'static str, second: &'static str, wait: Option<Duration>| {
        let locks = locks.clone();
        async move {
            let inner = locks.clone();
            let body = |_: Guard| async move {
                sleep(seconds(1)).await;
                let lock = inner.lock(second);
                let lock = if let Some(wait) = wait { lock.wait(wait) } else { lock };
                lock.run(|_| async {}).await
            };
            locks.lock(first).run(body).await.unwrap()
        }
    };
    for limits in [(None, Some(seconds(5))), (Some(seconds(5)), None), (Some(seconds(5)), Some(seconds(4)))] {
        let (ab, ba) = tokio::join!(crossing("a", "b", limits.0), crossing("b", "a", limits.1));
        let errors: Vec<_> = [ab, ba].into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].kind(), ErrorKind::Timeout, "{errors:?}");
    }
}
