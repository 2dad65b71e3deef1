//! Futures that are kept and not polled: they keep no lock from others.

use crate::events::Warnings;
use crate::seconds;
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, Lock, Locks, OnLost};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(2);

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send>>;

/// A request that has been polled once, and waits.
fn polled_once(lock: Lock) -> Acquiring {
    let mut acquiring: Acquiring = Box::pin(lock.acquire());
    assert!(acquiring.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    acquiring
}

/// The same, and it is in the store's queue unless others of its process are before it.
async fn put_aside(lock: Lock) -> Acquiring {
    let acquiring = polled_once(lock);
    sleep(Duration::from_millis(10)).await;
    acquiring
}

fn job(locks: &Locks) -> Lock {
    locks.lock("k").name("job").ttl(TTL)
}

async fn is_free_within(locks: &Locks, limit: Duration) {
    let begun = Instant::now();
    job(locks).wait(seconds(600)).acquire().await.unwrap().release().await.unwrap();
    assert!(begun.elapsed() <= limit, "{:?}", begun.elapsed());
}

type Described = fn(Lock) -> Lock;

const SLACK: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_granted_lock_that_nobody_takes_is_withdrawn_after_hold_at_most_or_a_ttl() {
    let options: [(Described, Duration); 3] = [
        (|lock| lock, TTL),
        (|lock| lock.hold_at_most(seconds(1)), seconds(1)),
        (|lock| lock.hold_at_least(seconds(600)), TTL),
    ];
    for (option, limit) in options {
        let store = TestStore::new();
        let (ours, theirs) = (store.client(), store.client());
        let warnings = Warnings::collect();
        let held = job(&theirs).acquire().await.unwrap();
        let aside = put_aside(option(job(&ours))).await;
        held.release().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        is_free_within(&theirs, limit + SLACK).await;
        assert_eq!(warnings.with("not polled").len(), 1);
        // It goes on waiting when it is polled again.
        aside.await.unwrap().release().await.unwrap();
        sleep(TTL).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_handed_off_to_one_who_does_not_take_it_is_withdrawn() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = job(&ours).acquire().await.unwrap();
    let aside = polled_once(job(&ours));
    // Within the time in which a lock is handed off.
    held.release().await.unwrap();
    assert_eq!(theirs.list("").await.unwrap().len(), 1, "it was not handed off");
    is_free_within(&theirs, TTL + SLACK).await;
    is_free_within(&ours, SLACK).await;
    aside.await.unwrap().release().await.unwrap();
}

/// Nothing is in the store, and others of this process wait behind the one that is not polled.
#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_taken_goes_to_the_next_one_of_this_process() {
    let store = TestStore::new();
    let ours = store.client();
    let held = job(&ours).acquire().await.unwrap();
    let aside = put_aside(job(&ours).name("another")).await;
    sleep(seconds(1)).await;
    drop(held);
    is_free_within(&ours, TTL + SLACK).await;
    drop(aside);
    is_free_within(&ours, SLACK).await;
}

/// Its time passes although nobody polls it, and it is out of the line by then.
#[tokio::test(start_paused = true)]
async fn a_wait_whose_time_is_over_leaves_the_queue_unpolled_and_times_out_when_polled() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = job(&theirs).name("them").acquire().await.unwrap();
    let aside = put_aside(job(&ours).wait(seconds(3))).await;
    sleep(seconds(4)).await;
    assert!(theirs.inspect("k").await.unwrap().unwrap().waiters.is_empty());
    let error = aside.await.unwrap_err();
    assert_eq!((error.kind(), &*error.holder().unwrap().name), (ErrorKind::Timeout, "them"));
    held.release().await.unwrap();

    // Granted before its time was over, and not taken.
    let held = job(&theirs).acquire().await.unwrap();
    let aside = put_aside(job(&ours).wait(seconds(3))).await;
    held.release().await.unwrap();
    sleep(seconds(4)).await;
    assert_eq!(aside.await.unwrap_err().kind(), ErrorKind::Timeout);
    is_free_within(&theirs, SLACK).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_timed_out_has_left_before_it_asks_who_holds_the_lock() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = job(&theirs).acquire().await.unwrap();
    let waiting = tokio::spawn(job(&ours).name("late").wait(seconds(3)).acquire());
    sleep(Duration::from_millis(3001)).await;
    held.release().await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.holder().is_none_or(|holder| holder.name != "late"), "{error}");
    is_free_within(&theirs, Duration::ZERO).await;
}

/// What was handed off to it is gone with its session: it asks the store itself, and stays ahead of those behind it.
#[tokio::test(start_paused = true)]
async fn a_hand_off_that_was_lost_costs_nobody_its_position() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = job(&ours).acquire().await.unwrap();
    let (mut first, mut second) = (polled_once(job(&ours)), polled_once(job(&ours)));
    // At once, while hand-offs are allowed: the store has forgotten the entry, and nobody knows yet.
    drop(held);
    let held = job(&theirs).name("them").acquire();
    store.expire_sessions();
    let held = held.await.unwrap();
    // Until a renewal tells, and no longer than the turn is kept for the first.
    sleep(TTL * 4 / 5).await;
    for waiting in [&mut first, &mut second] {
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    sleep(SLACK).await;
    held.release().await.unwrap();
    sleep(SLACK).await;
    assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "overtaken");
    first.await.unwrap().release().await.unwrap();
    second.await.unwrap().release().await.unwrap();
}

/// The one before it has left; nobody polls the one that is at the head since. The store answers all the time.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_polled_is_no_sign_of_a_silent_store() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let _held = job(&theirs).acquire().await.unwrap();
    let first = polled_once(job(&ours));
    let _aside = polled_once(job(&ours));
    let last = polled_once(job(&ours).wait(seconds(1)));
    drop(first);
    let error = last.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

/// A process may be paused between the moment at which it gets a lock and the first poll of the body: whatever is to happen
/// when a lock is lost, no body begins under one that is.
#[tokio::test(start_paused = true)]
async fn no_body_begins_under_a_lock_that_is_over() {
    let options = [
        (OnLost::Cancel, None, ErrorKind::Lost),
        (OnLost::Continue, None, ErrorKind::Lost),
        (OnLost::Continue, Some(TTL / 2), ErrorKind::LimitPassed),
    ];
    for (on_lost, limit, expected) in options {
        let locks = TestStore::new().client();
        let call = job(&locks).on_lost(on_lost).hold_at_most(limit).run(|_guard| {
            // Time passes, and nothing is polled.
            let mut passing = Box::pin(tokio::time::advance(10 * TTL));
            assert!(passing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            async { unreachable!("the body begins") }
        });
        let error: Error = call.await.map(|(): ()| ()).unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
    }
}
