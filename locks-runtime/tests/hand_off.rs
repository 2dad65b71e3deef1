//! Locks that are handed off from one body of a process to the next, without a request to the store.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use locks_runtime::testing::TestStore;
use locks_runtime::{Error, Fence, Guard, Lock, Locks};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

/// Longer than the time within which a lock is handed off.
const LONG: Duration = Duration::from_millis(11);

type Waiter = JoinHandle<Result<Guard, Error>>;

/// Requested at one place in the source, as by a locked function.
fn job(locks: &Locks) -> Lock {
    locks.lock("k").name("job")
}

/// A waiter of the same process, which is in the queue when this returns.
async fn wait_behind(locks: &Locks, with: impl FnOnce(Lock) -> Lock) -> Waiter {
    let lock = with(job(locks));
    let waiter = tokio::spawn(async move { lock.acquire().await });
    yield_now().await;
    assert!(!waiter.is_finished());
    waiter
}

async fn first(locks: &Locks) -> Guard {
    job(locks).acquire().await.unwrap()
}

/// Whether the second hold has a grant of its own, and was not handed off.
fn is_new_grant(before: Fence, after: Fence) -> bool {
    assert!(before < after && before.to_u64() < after.to_u64(), "{before:?} and then {after:?}");
    before.number() < after.number()
}

#[tokio::test(start_paused = true)]
async fn the_next_body_goes_on_while_the_store_is_down() {
    let store = TestStore::new();
    let locks = store.client();
    let mut guard = first(&locks).await;
    let mut waiters = Vec::new();
    for _ in 0..10 {
        waiters.push(wait_behind(&locks, |lock| lock).await);
    }
    store.faults().set_down(true);
    for waiter in waiters {
        let last = guard.fence();
        guard.release().await.unwrap();
        guard = waiter.await.unwrap().unwrap();
        guard.check().unwrap();
        assert!(!is_new_grant(last, guard.fence()));
    }
    store.faults().set_down(false);
    guard.release().await.unwrap();
    assert!(locks.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn waiters_of_other_processes_do_not_wait_longer_for_many_tasks() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let locks = ours.clone();
            tokio::spawn(async move {
                let body = |_: Guard| sleep(Duration::from_millis(1));
                job(&locks).run(body).await.unwrap();
            })
        })
        .collect();
    yield_now().await;
    let begun = Instant::now();
    for _ in 0..10 {
        theirs.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
    // Each time they wait for bodies of ten milliseconds in all, and the rounding of timers.
    assert!(begun.elapsed() < Duration::from_millis(10 * 14), "{:?}", begun.elapsed());
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_long_body_the_lock_is_not_handed_off() {
    let locks = TestStore::new().client();
    let guard = first(&locks).await;
    let waiter = wait_behind(&locks, |lock| lock).await;
    sleep(LONG).await;
    let last = guard.fence();
    guard.release().await.unwrap();
    assert!(is_new_grant(last, waiter.await.unwrap().unwrap().fence()));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_with_another_record_or_ttl_gets_an_entry_of_its_own() {
    let options: [fn(Lock) -> Lock; 3] = [
        |lock| lock.name("another job"),
        |lock| lock.ttl(Duration::from_secs(99)),
        |lock| lock.hold_at_least(Duration::from_secs(1)),
    ];
    for option in options {
        let locks = TestStore::new().client();
        let guard = first(&locks).await;
        let waiter = wait_behind(&locks, option).await;
        let last = guard.fence();
        guard.release().await.unwrap();
        assert!(is_new_grant(last, waiter.await.unwrap().unwrap().fence()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_extended_or_limited_is_not_handed_off() {
    let options: [fn(Lock) -> Lock; 2] =
        [|lock| lock.hold_at_least(Duration::from_millis(1)), |lock| lock.hold_at_most(Duration::from_millis(1))];
    for option in options {
        let locks = TestStore::new().client();
        let guard = option(job(&locks)).acquire().await.unwrap();
        let waiter = wait_behind(&locks, |lock| lock).await;
        sleep(Duration::from_millis(2)).await;
        let last = guard.fence();
        drop(guard);
        assert!(is_new_grant(last, waiter.await.unwrap().unwrap().fence()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_handed_off_to_a_dropped_waiter_is_released() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let guard = first(&ours).await;
    let waiter = wait_behind(&ours, |lock| lock).await;
    guard.release().await.unwrap();
    // It was handed off to this waiter, which is dropped before it runs.
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    theirs.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert!(ours.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_has_withdrawn_is_skipped() {
    let locks = TestStore::new().client();
    let guard = first(&locks).await;
    let (gone, next) = (wait_behind(&locks, |lock| lock).await, wait_behind(&locks, |lock| lock).await);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let last = guard.fence();
    guard.release().await.unwrap();
    assert!(!is_new_grant(last, next.await.unwrap().unwrap().fence()));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_lost_during_the_hand_off_is_acquired_again() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = job(&locks).ttl(Duration::from_millis(30)).acquire().await.unwrap();
    let waiter = wait_behind(&locks, |lock| lock.ttl(Duration::from_millis(30))).await;
    let last = guard.fence();
    store.faults().set_silent(true);
    guard.release().await.unwrap();
    // The waiter does not run before the session is lost.
    tokio::time::advance(Duration::from_millis(31)).await;
    store.faults().set_silent(false);
    let next = waiter.await.unwrap().unwrap();
    next.check().unwrap();
    assert!(is_new_grant(last, next.fence()));
}

#[tokio::test(start_paused = true)]
async fn fences_grow_beyond_the_longest_sequence() {
    let locks = TestStore::new().client();
    let mut guard = first(&locks).await;
    let mut numbers = 1;
    for _ in 0..=Fence::MAX_SEQUENCE {
        let (last, waiter) = (guard.fence(), wait_behind(&locks, |lock| lock).await);
        guard.release().await.unwrap();
        guard = waiter.await.unwrap().unwrap();
        numbers += u32::from(is_new_grant(last, guard.fence()));
    }
    assert_eq!(numbers, 2);
}
