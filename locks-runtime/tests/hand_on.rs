//! A lock that passes from one body of a process to the next without a request to the store.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use locks_runtime::testing::TestStore;
use locks_runtime::{Error, Fence, Guard, Lock, Locks};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

/// Longer than a lock is passed on.
const LONG: Duration = Duration::from_millis(11);

type Waiter = JoinHandle<Result<Guard, Error>>;

/// Declared in one place, as a locked function is.
fn job(locks: &Locks) -> Lock {
    locks.lock("k").name("job")
}

/// Somebody of the same process who stands in line when this returns.
async fn behind(locks: &Locks, ask: impl FnOnce(Lock) -> Lock) -> Waiter {
    let lock = ask(job(locks));
    let waiter = tokio::spawn(async move { lock.acquire().await });
    yield_now().await;
    assert!(!waiter.is_finished());
    waiter
}

async fn first(locks: &Locks) -> Guard {
    job(locks).acquire().await.unwrap()
}

/// Whether the store was asked between the two.
fn asked(before: Fence, after: Fence) -> bool {
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
        waiters.push(behind(&locks, |lock| lock).await);
    }
    store.faults().set_down(true);
    for waiter in waiters {
        let last = guard.fence();
        guard.release().await.unwrap();
        guard = waiter.await.unwrap().unwrap();
        guard.check().unwrap();
        assert!(!asked(last, guard.fence()));
    }
    store.faults().set_down(false);
    guard.release().await.unwrap();
    assert!(locks.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_elsewhere_wait_no_longer_for_a_crowd() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let crowd: Vec<_> = (0..1_000)
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
    // Each time the crowd's bodies of ten milliseconds, with the timer's rounding.
    assert!(begun.elapsed() < Duration::from_millis(10 * 14), "{:?}", begun.elapsed());
    for one in crowd {
        one.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_long_body_the_store_is_asked() {
    let locks = TestStore::new().client();
    let guard = first(&locks).await;
    let waiter = behind(&locks, |lock| lock).await;
    sleep(LONG).await;
    let last = guard.fence();
    guard.release().await.unwrap();
    assert!(asked(last, waiter.await.unwrap().unwrap().fence()));
}

#[tokio::test(start_paused = true)]
async fn one_whose_record_or_ttl_differs_gets_an_entry_of_its_own() {
    let asks: [fn(Lock) -> Lock; 3] = [
        |lock| lock.name("another job"),
        |lock| lock.ttl(Duration::from_secs(99)),
        |lock| lock.hold_at_least(Duration::from_secs(1)),
    ];
    for ask in asks {
        let locks = TestStore::new().client();
        let guard = first(&locks).await;
        let waiter = behind(&locks, ask).await;
        let last = guard.fence();
        guard.release().await.unwrap();
        assert!(asked(last, waiter.await.unwrap().unwrap().fence()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_ended_otherwise_is_not_passed_on() {
    let asks: [fn(Lock) -> Lock; 2] =
        [|lock| lock.hold_at_least(Duration::from_millis(1)), |lock| lock.hold_at_most(Duration::from_millis(1))];
    for ask in asks {
        let locks = TestStore::new().client();
        let guard = ask(job(&locks)).acquire().await.unwrap();
        let waiter = behind(&locks, |lock| lock).await;
        sleep(Duration::from_millis(2)).await;
        let last = guard.fence();
        drop(guard);
        assert!(asked(last, waiter.await.unwrap().unwrap().fence()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_given_back() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let guard = first(&ours).await;
    let waiter = behind(&ours, |lock| lock).await;
    guard.release().await.unwrap();
    // It was passed on, and the one who gets it is gone before it looks.
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    theirs.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert!(ours.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn those_who_left_the_line_are_passed_over() {
    let locks = TestStore::new().client();
    let guard = first(&locks).await;
    let (gone, next) = (behind(&locks, |lock| lock).await, behind(&locks, |lock| lock).await);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let last = guard.fence();
    guard.release().await.unwrap();
    assert!(!asked(last, next.await.unwrap().unwrap().fence()));
}

#[tokio::test(start_paused = true)]
async fn what_was_passed_on_and_lost_meanwhile_is_asked_for_again() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = job(&locks).ttl(Duration::from_millis(30)).acquire().await.unwrap();
    let waiter = behind(&locks, |lock| lock.ttl(Duration::from_millis(30))).await;
    let last = guard.fence();
    store.faults().set_silent(true);
    guard.release().await.unwrap();
    // The waiter does not get a turn before the session is over.
    tokio::time::advance(Duration::from_millis(31)).await;
    store.faults().set_silent(false);
    let next = waiter.await.unwrap().unwrap();
    next.check().unwrap();
    assert!(asked(last, next.fence()));
}

#[tokio::test(start_paused = true)]
async fn fences_grow_beyond_the_longest_sequence() {
    let locks = TestStore::new().client();
    let mut guard = first(&locks).await;
    let mut numbers = 1;
    for _ in 0..=Fence::MAX_SEQUENCE {
        let (last, waiter) = (guard.fence(), behind(&locks, |lock| lock).await);
        guard.release().await.unwrap();
        guard = waiter.await.unwrap().unwrap();
        numbers += u32::from(asked(last, guard.fence()));
    }
    assert_eq!(numbers, 2);
}
