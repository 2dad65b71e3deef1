//! What this process has left behind in the store is not named as a holder.

use crate::{CONNECT_TIMEOUT, TTL, seconds};
use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, Lock, Locks};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// An attempt of `locks` that failed after it got the lock: it is still being withdrawn from a store that is silent.
async fn failed(store: &TestStore, locks: &Locks) {
    locks.lock("other").ttl(TTL * 10).acquire().await.unwrap().release().await.unwrap();
    let attempt = tokio::spawn(locks.lock("k").ttl(TTL * 10).wait(Duration::ZERO).acquire());
    store.faults().lose_answers(1);
    assert_eq!(attempt.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    store.faults().set_silent(true);
}

async fn unavailable_after(lock: Lock, limit: Duration) {
    let begun = Instant::now();
    let error = lock.acquire().await.unwrap_err();
    assert_eq!((error.kind(), error.holder()), (ErrorKind::Unavailable, None), "{error}");
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + seconds(2), "{:?}: {error}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_attempt_the_next_ones_are_not_told_that_this_process_holds_the_lock() {
    let store = TestStore::new();
    let locks = store.client();
    store.faults().set_silent(true);
    for _ in 0..5 {
        unavailable_after(locks.lock("k").wait(Duration::ZERO), CONNECT_TIMEOUT).await;
        sleep(Duration::from_millis(500)).await;
    }
    unavailable_after(locks.lock("k").wait(seconds(2)), seconds(2)).await;
    unavailable_after(locks.lock("k"), CONNECT_TIMEOUT).await;
    store.faults().set_silent(false);
    locks.lock("k").wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_waits_for_the_withdrawal_of_the_one_before() {
    let store = TestStore::new();
    let locks = store.client();
    failed(&store, &locks).await;
    let tried = tokio::spawn(locks.lock("k").wait(Duration::ZERO).acquire());
    sleep(seconds(3)).await;
    assert!(!tried.is_finished());
    store.faults().set_silent(false);
    tried.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_try_right_after_a_dropped_guard_gets_the_lock() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("k").acquire().await.unwrap();
    store.faults().set_silent(true);
    drop(guard);
    let tried = tokio::spawn(locks.lock("k").wait(Duration::ZERO).acquire());
    sleep(seconds(1)).await;
    store.faults().set_silent(false);
    tried.await.unwrap().unwrap().release().await.unwrap();
}

/// An entry whose answers were lost is still being withdrawn when another one of the same request has held the lock.
#[tokio::test(start_paused = true)]
async fn a_try_is_not_told_of_a_hold_that_is_over() {
    for _ in 0..20 {
        let store = TestStore::new();
        let locks = store.client();
        locks.lock("other").ttl(TTL * 10).acquire().await.unwrap().release().await.unwrap();
        let acquiring = tokio::spawn(locks.lock("k").ttl(TTL * 10).acquire());
        store.faults().lose_answers(u32::MAX);
        sleep(CONNECT_TIMEOUT / 2).await;
        store.faults().lose_answers(0);
        acquiring.await.unwrap().unwrap().release().await.unwrap();
        locks.lock("k").ttl(TTL * 10).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
    }
}

/// Two clients of one process, as two URLs of one server make them.
#[tokio::test(start_paused = true)]
async fn what_another_client_of_this_process_left_is_no_holder_either() {
    let store = TestStore::new();
    let (locks, other) = (store.client(), store.client());
    let guard = locks.lock("k").ttl(TTL * 10).acquire().await.unwrap();
    store.faults().set_release_forbidden(true);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    unavailable_after(other.lock("k").wait(Duration::ZERO), CONNECT_TIMEOUT).await;
    unavailable_after(other.lock("k").wait(seconds(2)), seconds(2)).await;
    store.faults().set_release_forbidden(false);
    other.lock("k").wait(seconds(2)).acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_stays_taken_for_hold_at_least_is_busy_and_names_who_had_it() {
    let store = TestStore::new();
    let (locks, other) = (store.client(), store.client());
    locks.lock("k").name("cron").hold_at_least(seconds(60)).run(|_| async {}).await.unwrap();
    for client in [&locks, &other] {
        let busy = client.lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!((busy.kind(), &*busy.holder().unwrap().name), (ErrorKind::Busy, "cron"));
    }
    store.expire_sessions();
    sleep(TTL).await;
    for client in [&locks, &other] {
        let late = client.lock("k").wait(seconds(1)).acquire().await.unwrap_err();
        assert_eq!((late.kind(), &*late.holder().unwrap().name), (ErrorKind::Timeout, "cron"));
    }
    locks.close().await;
    let busy = other.lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!((busy.kind(), &*busy.holder().unwrap().name), (ErrorKind::Busy, "cron"));
}

/// As after a pause of the process: time has passed, and nothing that waits for it has been polled.
#[tokio::test(start_paused = true)]
async fn a_hold_at_least_that_is_over_is_not_busy_though_nothing_was_polled_since() {
    let store = TestStore::new();
    let (locks, other) = (store.client(), store.client());
    for client in [&locks, &other] {
        locks.lock("k").hold_at_least(seconds(60)).run(|_| async {}).await.unwrap();
        let mut pause = std::pin::pin!(tokio::time::advance(seconds(61)));
        poll_fn(|context| Poll::Ready(pause.as_mut().poll(context).is_pending())).await;
        let acquired = client.lock("k").wait(Duration::ZERO).acquire().await;
        acquired.unwrap().release().await.unwrap();
    }
}

/// The one of this process that is first in the queue is no holder: another process is.
#[tokio::test(start_paused = true)]
async fn a_waiter_of_this_process_is_not_named_as_the_holder() {
    let store = TestStore::new();
    let (locks, theirs) = (store.client(), store.client());
    let _held = theirs.lock("k").name("them").acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock("k").name("us").acquire());
    sleep(seconds(1)).await;
    let busy = locks.lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!((busy.kind(), &*busy.holder().unwrap().name), (ErrorKind::Busy, "them"));
    let late = locks.lock("k").wait(seconds(1)).acquire().await.unwrap_err();
    assert_eq!((late.kind(), &*late.holder().unwrap().name), (ErrorKind::Timeout, "them"));
    waiting.abort();
}
