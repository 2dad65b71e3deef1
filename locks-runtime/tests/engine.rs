//! The engine under paused time, on a store in memory that fails on demand.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, Guard, OnLost, blocking};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_busy_for_a_try_and_times_out_for_a_waiter() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let guard = ours.lock("k").name("us").acquire().await.unwrap();
    for other in [&ours, &theirs] {
        let busy = other.lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!((busy.kind(), &*busy.holder().unwrap().name), (ErrorKind::Busy, "us"));
        let begun = Instant::now();
        let late = other.lock("k").wait(seconds(3)).acquire().await.unwrap_err();
        assert_eq!((late.kind(), &*late.holder().unwrap().name), (ErrorKind::Timeout, "us"));
        assert_eq!(begun.elapsed().as_secs(), 3);
    }
    assert!(
        ours.inspect("k").await.unwrap().unwrap().waiters.is_empty(),
        "a waiter that timed out is still in the queue"
    );
    guard.release().await.unwrap();
    assert!(ours.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_renewed_for_as_long_as_it_lasts() {
    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(seconds(3600)).await;
    guard.check().unwrap();
    assert!(store.client().lock("k").try_acquire().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_is_dropped_before_another_may_hold() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let running = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&running);
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let body = tokio::spawn(async move {
        let body = |_: Guard| async move {
            flag.store(true, Ordering::SeqCst);
            let _flag = Flag(flag);
            pending::<()>().await;
        };
        ours.lock("k").ttl(TTL).run(body).await
    });
    sleep(seconds(100)).await;
    assert!(running.load(Ordering::SeqCst));
    let waiter = tokio::spawn(async move { theirs.lock("k").ttl(TTL).acquire().await });
    sleep(seconds(1)).await;
    // Both lose their sessions; the waiter enters the queue again when the store answers.
    store.faults().set_silent(true);
    let cut = Instant::now();
    let error = body.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(cut.elapsed() < TTL, "stopped after {:?}", cut.elapsed());
    assert!(!running.load(Ordering::SeqCst));
    store.faults().set_silent(false);
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

/// Renewals that a store refuses at once are retried with a back-off, which does not go beyond the deadline.
#[tokio::test(start_paused = true)]
async fn a_body_is_dropped_before_another_may_hold_while_the_store_refuses() {
    for _ in 0..50 {
        let store = TestStore::new();
        let lock = store.client().lock("k").ttl(TTL);
        let body = tokio::spawn(lock.run(|_| pending::<()>()));
        sleep(seconds(100)).await;
        store.faults().set_down(true);
        let cut = Instant::now();
        assert_eq!(body.await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
        assert!(cut.elapsed() < TTL * 95 / 100, "stopped after {:?}", cut.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_forgot_is_lost_at_the_next_renewal_and_the_next_lock_opens_another() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.expire_sessions();
    let begun = Instant::now();
    assert_eq!(guard.lost().await.kind(), ErrorKind::Lost);
    assert!(begun.elapsed() <= TTL / 3, "{:?}", begun.elapsed());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    let again = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    again.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_released_by_force_is_lost() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL).await;
    assert!(locks.force_release("k").await.unwrap());
    let begun = Instant::now();
    let lost = guard.lost().await;
    assert!(begun.elapsed() < seconds(1) && lost.to_string().contains("released by force"), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_loses_nothing() {
    let store = TestStore::new();
    let locks = store.client();
    store.faults().lose_answers(3);
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.faults().lose_answers(1);
    guard.release().await.unwrap();
    sleep(seconds(1)).await;
    assert!(locks.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_nothing_behind_wherever_it_is_dropped() {
    for polls in 0..40 {
        let store = TestStore::new();
        let (locks, other) = (store.client(), store.client());
        let held = other.lock("k").acquire().await.unwrap();
        store.faults().set_silent(true);
        let mut acquiring = Box::pin(locks.lock("k").acquire());
        let waker = std::task::Waker::noop();
        for poll in 0..polls {
            if poll == 5 {
                store.faults().set_silent(false);
            }
            let context = &mut std::task::Context::from_waker(waker);
            assert!(acquiring.as_mut().poll(context).is_pending());
            tokio::task::yield_now().await;
        }
        drop(acquiring);
        store.faults().set_silent(false);
        sleep(seconds(1)).await;
        held.release().await.unwrap();
        sleep(seconds(1)).await;
        assert_eq!(other.list("").await.unwrap(), [], "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_releases_the_lock_first() {
    let store = TestStore::new();
    let locks = store.client();
    let inner = locks.clone();
    let body = |_: Guard| async {
        if true {
            panic!("the body's own")
        }
    };
    let panic = tokio::spawn(async move { inner.lock("k").run(body).await });
    let panic = panic.await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "the body's own");
    assert!(locks.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_key_inside_the_body_joins() {
    let store = TestStore::new();
    let locks = &store.client();
    let outer = locks.lock("k").run(|outer| async move {
        let inner = locks.lock("k").run(|inner| async move { inner.fence() }).await.unwrap();
        assert_eq!(inner, outer.fence());
        assert!(outer.is_held(), "the inner body has released it");
        let joined = locks.lock("k").acquire().await.unwrap();
        joined.release().await.unwrap();
        assert!(outer.is_held());
        outer
    });
    let outer = outer.await.unwrap();
    assert_eq!(outer.check().unwrap_err().kind(), ErrorKind::Lost, "a guard reports a hold that is released");
}

#[tokio::test(start_paused = true)]
async fn waiting_in_a_circle_is_a_deadlock() {
    let store = TestStore::new();
    let locks = store.client();
    let crossing = |first: &'static str, second: &'static str| {
        let locks = locks.clone();
        async move {
            let inner = locks.clone();
            let body = |_: Guard| async move {
                sleep(seconds(1)).await;
                inner.lock(second).run(|_| async {}).await
            };
            locks.lock(first).run(body).await.unwrap()
        }
    };
    let (ab, ba) = tokio::join!(crossing("a", "b"), crossing("b", "a"));
    let errors: Vec<_> = [ab, ba].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "expected exactly one deadlock: {errors:?}");
    assert_eq!(errors[0].kind(), ErrorKind::Deadlock);
}

#[tokio::test(start_paused = true)]
async fn hold_at_most_stops_the_body_and_releases_the_lock() {
    let store = TestStore::new();
    let locks = store.client();
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let begun = Instant::now();
        let run = locks.lock("k").hold_at_most(seconds(5)).on_lost(on_lost).run(|_| pending::<()>());
        let error = run.await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::LimitPassed, 5));
        assert!(error.to_string().contains("hold_at_most"), "{error}");
        assert!(locks.list("").await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn hold_at_least_extends_the_lock_beyond_the_body() {
    let store = TestStore::new();
    let locks = store.client();
    let begun = Instant::now();
    locks.lock("k").hold_at_least(seconds(30)).run(|_| async {}).await.unwrap();
    assert!(begun.elapsed() < seconds(1), "the caller does not wait for it");
    assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    assert!(store.client().lock("k").try_acquire().await.unwrap().is_none());
    // Even if the client is closed, the lock stays held.
    locks.close().await;
    let other = store.client();
    let guard = other.lock("k").acquire().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_retried_until_the_timeout() {
    let store = TestStore::new();
    let locks = store.client();
    store.faults().set_down(true);
    for (wait, least, most) in [(None, 5, 7), (Some(seconds(20)), 20, 20), (Some(Duration::ZERO), 0, 0)] {
        let begun = Instant::now();
        let lock = locks.lock("k");
        let lock = if let Some(wait) = wait { lock.wait(wait) } else { lock };
        let error = lock.acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let took = begun.elapsed().as_secs();
        assert!((least..=most).contains(&took), "{wait:?}: {took} s");
    }
    let waiting = tokio::spawn(async move { locks.lock("k").acquire().await });
    sleep(seconds(2)).await;
    store.faults().set_down(false);
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_session_is_lost_enters_again_and_gets_the_lock() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = ours.lock("k").ttl(seconds(60)).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { theirs.lock("k").ttl(seconds(3)).acquire().await });
    sleep(seconds(1)).await;
    store.expire_sessions();
    sleep(seconds(5)).await;
    let _ = held.release().await;
    waiting.await.unwrap().unwrap().check().unwrap();
}

/// The store answered that it had forgotten the waiter. The error must not say that it did not answer.
#[tokio::test(start_paused = true)]
async fn a_waiter_whose_session_is_lost_shortly_before_its_timeout_times_out() {
    for _ in 0..50 {
        let store = TestStore::new();
        let (ours, theirs) = (store.client(), store.client());
        let waiting = tokio::spawn(async move {
            let _held = ours.lock("k").acquire().await.unwrap();
            theirs.lock("k").wait(Duration::from_millis(40)).acquire().await.unwrap_err()
        });
        sleep(Duration::from_millis(5)).await;
        store.expire_sessions();
        // A third client gets the lock before either of them.
        let _other = store.client().lock("k").acquire().await.unwrap();
        let error = waiting.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_refuses_requests_and_has_ended_its_holds() {
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("k").acquire().await.unwrap();
    locks.close().await;
    assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(locks.lock("k").acquire().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(store.client().list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_closed_and_opened_again_when_needed() {
    let store = TestStore::new();
    let locks = store.client();
    for _ in 0..3 {
        let guard = locks.lock("k").acquire().await.unwrap();
        sleep(seconds(600)).await;
        assert_eq!(store.sessions(), 1, "a hold is not idle");
        guard.release().await.unwrap();
        sleep(seconds(30)).await;
        assert_eq!(store.sessions(), 1, "the next lock would use it");
        sleep(seconds(600)).await;
        assert_eq!(store.sessions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_used_for_short_holds_only_is_not_idle() {
    let store = TestStore::new();
    let locks = store.client();
    let mut last = locks.lock("k").acquire().await.unwrap().fence();
    for _ in 0..600 {
        sleep(seconds(1)).await;
        let fence = locks.lock("k").acquire().await.unwrap().fence();
        // The store counts sessions and fences with one counter.
        assert_eq!(fence.number(), last.number() + 1, "another session was opened");
        last = fence;
    }
}

#[tokio::test(start_paused = true)]
async fn one_session_serves_all_locks_of_one_ttl() {
    let store = TestStore::new();
    let locks = store.client();
    let acquiring = (0..100).map(|number| locks.lock(format!("{number}")).ttl(seconds(10 + number % 2)).acquire());
    let mut guards = Vec::new();
    for guard in acquiring {
        guards.push(guard.await.unwrap());
    }
    assert_eq!(store.sessions(), 2);
}

/// In real time: a body that blocks its thread beyond the end of its hold still stops before the lock is released.
#[test]
fn the_next_holder_starts_after_a_stopped_body_has_ended() {
    let locks = locks_runtime::Locks::connect("memory:engine-next").unwrap();
    let running = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&running);
    let (started, body_runs) = std::sync::mpsc::channel();
    // At this TTL a body has 100 s to stop in, which is enough on any machine; it needs 300 ms.
    let lock = locks.lock("k").ttl(seconds(10_000)).hold_at_most(Duration::from_millis(100));
    let body = std::thread::Builder::new().spawn(move || {
        blocking(lock.run(|_| async move {
            flag.store(true, Ordering::SeqCst);
            started.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            flag.store(false, Ordering::SeqCst);
            pending::<()>().await;
        }))
    });
    body_runs.recv().unwrap();
    let other = locks_runtime::Locks::connect("memory:engine-next").unwrap();
    let guard = blocking(other.lock("k").acquire()).unwrap();
    assert!(!running.load(Ordering::SeqCst), "two at once");
    blocking(guard.release()).unwrap();
    assert_eq!(body.unwrap().join().unwrap().unwrap_err().kind(), ErrorKind::LimitPassed);
}

#[test]
fn a_lock_works_without_any_runtime_and_across_threads() {
    let locks = locks_runtime::Locks::connect("memory:engine-no-runtime").unwrap();
    let guard = blocking(locks.lock("k").acquire()).unwrap();
    let other = locks;
    let waiting =
        std::thread::Builder::new().spawn(move || blocking(other.lock("k").acquire()).unwrap().fence()).unwrap();
    let fence = guard.fence();
    drop(guard);
    assert!(waiting.join().unwrap() > fence);
}
