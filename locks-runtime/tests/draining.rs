//! The end of a service, under paused time: nothing new, bodies end or are stopped, and only then everything is released.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, LocalState, Locks, OnLost};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(10);

const GRACE: Duration = Duration::from_secs(3600);

/// What a body that is told to stop, and does not, may cost.
const STOPPING: Duration = Duration::from_secs(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every task go as far as it can without time.
async fn others_go_on() {
    sleep(Duration::from_millis(1)).await;
}

fn assert_stopping(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.to_string().contains("the service is stopping"), "{error}");
}

/// A body under `key` that ends by itself after `lasts`.
async fn running(locks: &Locks, key: &'static str, lasts: Duration) -> JoinHandle<Result<&'static str, Error>> {
    let body = move |_| async move {
        sleep(lasts).await;
        key
    };
    let running = tokio::spawn(locks.lock(key).ttl(TTL).run(body));
    others_go_on().await;
    running
}

async fn is_free(locks: &Locks, key: &str) -> bool {
    match locks.lock(key).try_acquire().await.unwrap() {
        Some(guard) => guard.release().await.is_ok(),
        None => false,
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_or_waits_is_refused_at_once_and_leaves_nothing() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = theirs.lock("theirs").acquire().await.unwrap();
    let own = running(&ours, "ours", seconds(5)).await;
    // In the store's queue, in this process's behind it, and behind a body of this process.
    let waiting = ["theirs", "theirs", "ours", "ours"].map(|key| tokio::spawn(ours.lock(key).acquire()));
    others_go_on().await;
    assert_eq!(theirs.inspect("theirs").await.unwrap().unwrap().waiters.len(), 1);

    let draining = tokio::spawn({
        let ours = ours.clone();
        async move { ours.drain(GRACE).await }
    });
    others_go_on().await;
    for waiting in waiting {
        assert!(waiting.is_finished(), "it waits on");
        assert_stopping(&waiting.await.unwrap().unwrap_err());
    }
    assert_stopping(&ours.lock("free").acquire().await.unwrap_err());
    assert_stopping(&ours.lock("free").try_acquire().await.unwrap_err());
    assert!(theirs.inspect("theirs").await.unwrap().unwrap().waiters.is_empty());

    assert_eq!(own.await.unwrap().unwrap(), "ours");
    assert!(draining.await.unwrap().is_complete());
    held.release().await.unwrap();
    assert!(theirs.list("").await.unwrap().is_empty());
    drop(theirs);
    sleep(seconds(1)).await;
    assert_eq!(store.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_in_its_grace_is_renewed_until_then_and_nobody_waits_longer() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let own = running(&ours, "k", GRACE / 2).await;
    let begun = Instant::now();
    let draining = ours.drain(GRACE);
    let next = theirs.lock("k").acquire();
    let (drained, next) = tokio::join!(draining, next);
    assert!(drained.is_complete(), "{drained}");
    assert!(begun.elapsed() >= GRACE / 2 - seconds(1) && begun.elapsed() < GRACE / 2 + seconds(1), "{begun:?}");
    assert_eq!(own.await.unwrap().unwrap(), "k");
    next.unwrap().release().await.unwrap();
    assert_eq!(store.sessions(), 1, "theirs");
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_stopped_with_the_reason_and_only_then_released() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let own = [running(&ours, "a", GRACE * 2).await, running(&ours, "b", GRACE * 2).await];
    let begun = Instant::now();
    let waiting = tokio::spawn(theirs.lock("a").acquire());
    let drained = ours.drain(seconds(20)).await;
    assert!(drained.is_complete(), "{drained}");
    assert!((seconds(20)..seconds(21)).contains(&begun.elapsed()), "{begun:?}");
    for body in own {
        let error = body.await.unwrap().unwrap_err();
        assert_stopping(&error);
        assert!(error.key().is_some());
    }
    waiting.await.unwrap().unwrap().release().await.unwrap();
    assert!(is_free(&theirs, "b").await);
    assert_eq!(store.sessions(), 1, "theirs");
}

/// The body goes on although it is told: whoever took its lock now would run beside it.
#[tokio::test(start_paused = true)]
async fn a_lock_whose_body_runs_on_is_not_released_before_it_ends() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let (told, hears) = tokio::sync::oneshot::channel();
    let body = |guard: Guard| async move {
        told.send((guard.lost().await, Instant::now())).ok();
        sleep(seconds(3600)).await;
    };
    let own = tokio::spawn(ours.lock("k").ttl(TTL).name("stubborn").on_lost(OnLost::Continue).run(body));
    others_go_on().await;
    let guard = ours.lock("by hand").ttl(TTL).acquire().await.unwrap();

    let begun = Instant::now();
    let drained = ours.drain(seconds(5)).await;
    assert!((seconds(6)..seconds(7)).contains(&begun.elapsed()), "{begun:?}");
    let left: Vec<_> = drained.left.iter().map(|lock| (lock.keys[0].as_str(), lock.state)).collect();
    assert_eq!(left, [("k", LocalState::Overrunning), ("by hand", LocalState::Overrunning)]);
    let text = drained.to_string();
    assert!(text.contains("`k` still running for 6") && text.contains("by stubborn (locks-runtime/tests/"), "{text}");
    let (error, at) = hears.await.unwrap();
    assert_stopping(&error);
    assert_eq!(at.duration_since(begun).as_secs(), 5);
    assert_stopping(&guard.check().unwrap_err());

    sleep(seconds(600)).await;
    assert!(!is_free(&theirs, "k").await && !is_free(&theirs, "by hand").await, "released, or not renewed");
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(is_free(&theirs, "by hand").await);
    own.await.unwrap().unwrap();
    assert!(is_free(&theirs, "k").await);
    assert!(ours.drain(GRACE).await.is_complete());
    drop(theirs);
    sleep(seconds(1)).await;
    assert_eq!(store.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn of_several_drains_the_earliest_end_counts_for_all() {
    let store = TestStore::new();
    let ours = store.client();
    let own = running(&ours, "k", GRACE).await;
    let begun = Instant::now();
    let second = async {
        sleep(seconds(5)).await;
        ours.drain(seconds(10)).await
    };
    let (first, second, third) = tokio::join!(ours.drain(seconds(3000)), second, ours.drain(seconds(60)));
    assert!([first, second, third].iter().all(|drained| drained.is_complete()));
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert_stopping(&own.await.unwrap().unwrap_err());
    assert!(ours.drain(seconds(60)).await.is_complete());
    assert_eq!(begun.elapsed().as_secs(), 15, "one that comes later waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_dropped_goes_on() {
    let store = TestStore::new();
    let ours = store.client();
    let own = running(&ours, "k", GRACE).await;
    assert!(timeout(seconds(1), ours.drain(seconds(5))).await.is_err());
    let begun = Instant::now();
    assert_stopping(&own.await.unwrap().unwrap_err());
    assert_eq!(begun.elapsed().as_secs(), 4);
    sleep(seconds(1)).await;
    assert_eq!(store.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_ends_a_drain_and_a_drain_after_it_has_nothing_to_do() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let own = running(&ours, "k", GRACE).await;
    let stubborn = ours.lock("stubborn").ttl(TTL).on_lost(OnLost::Continue).run(|_| sleep(seconds(100)));
    let stubborn = tokio::spawn(stubborn);
    others_go_on().await;
    let begun = Instant::now();
    let closing = async {
        sleep(seconds(5)).await;
        ours.close().await;
    };
    let (drained, ()) = tokio::join!(ours.drain(GRACE), closing);
    assert!(begun.elapsed() < seconds(5) + STOPPING + seconds(1), "{:?}", begun.elapsed());
    let error = own.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the client was closed"), "{error}");
    assert_eq!(drained.left.len(), 1, "that body runs on: {drained}");
    assert!(is_free(&theirs, "stubborn").await, "close is abrupt");
    assert!(ours.lock("k").acquire().await.unwrap_err().to_string().contains("the client was closed"));
    stubborn.await.unwrap().unwrap();
    let begun = Instant::now();
    assert!(ours.drain(GRACE).await.is_complete());
    assert!(begun.elapsed() < seconds(1));

    let closed = store.client();
    closed.close().await;
    assert!(closed.drain(GRACE).await.is_complete());
    assert!(begun.elapsed() < seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_and_a_candidate_end_their_campaigns() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let terms = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&terms);
    let leads = tokio::spawn(ours.leader("led").ttl(TTL).run(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        pending::<()>()
    }));
    let polite = tokio::spawn({
        let ours = ours.clone();
        let stopping = ours.clone();
        async move { ours.leader("polite").ttl(TTL).run(|_| async { stopping.stopping().await }).await }
    });
    let _other = theirs.lock("theirs").acquire().await.unwrap();
    let waits = tokio::spawn(ours.leader("theirs").ttl(TTL).run(|_| pending::<()>()));
    others_go_on().await;
    let next = tokio::spawn(theirs.leader("polite").ttl(TTL).run(|_| async { Instant::now() }));

    let begun = Instant::now();
    let drained = ours.drain(seconds(30)).await;
    assert!(drained.is_complete(), "{drained}");
    assert_stopping(&waits.await.unwrap().unwrap_err());
    assert_stopping(&leads.await.unwrap().unwrap_err());
    polite.await.unwrap().unwrap();
    let led = next.await.unwrap().unwrap();
    assert!(led.duration_since(begun) < seconds(1), "the next one leads while the rest of us goes on");
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(terms.load(Ordering::SeqCst), 1, "it campaigned again");
    assert_stopping(&ours.leader("led").run(|_| pending::<()>()).await.unwrap_err());
    assert!(theirs.leader("led").current().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_may_join_its_own_lock_while_it_ends_and_takes_no_other() {
    let store = TestStore::new();
    let ours = store.client();
    let inner = ours.clone();
    let own = tokio::spawn(ours.lock("k").ttl(TTL).run(|_| async move {
        inner.stopping().await;
        let joined = inner.lock("k").run(|_| async { "joined" }).await;
        (joined, inner.lock("other").acquire().await.map(drop))
    }));
    others_go_on().await;
    assert!(ours.drain(GRACE).await.is_complete());
    let (joined, other) = own.await.unwrap().unwrap();
    assert_eq!(joined.unwrap(), "joined");
    assert_stopping(&other.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_waited_for_longer_than_its_timeout() {
    let store = TestStore::new();
    let ours = store.client();
    let own = running(&ours, "k", seconds(1)).await;
    let waits = tokio::spawn(ours.lock("other").acquire());
    others_go_on().await;
    waits.await.unwrap().unwrap().release().await.unwrap();
    store.faults().set_silent(true);
    let asks = tokio::spawn(ours.lock("another").acquire());
    others_go_on().await;
    let begun = Instant::now();
    let drained = ours.drain(seconds(2)).await;
    // The client's `connect_timeout` is 5 s.
    assert!(begun.elapsed() <= seconds(2 + 1 + 5), "{:?}", begun.elapsed());
    assert_stopping(&asks.await.unwrap().unwrap_err());
    assert!(drained.left.iter().any(|lock| lock.keys[0].as_str() == "k"), "{drained}");
    assert!(drained.left.iter().all(|lock| lock.state == LocalState::Releasing), "{drained}");
    own.await.unwrap().unwrap();
    store.faults().set_silent(false);
    sleep(seconds(1)).await;
    assert!(ours.drain(GRACE).await.is_complete(), "it was released when the store was there again");
    assert_eq!(store.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_waits_for_no_signal() {
    let ours = TestStore::new().client();
    ours.close().await;
    let error = ours.drain_on_signal(GRACE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("connect a new one"), "{error}");
}

/// However the drain meets them: no body begins after it, and nothing is left.
#[tokio::test(start_paused = true)]
async fn requests_in_every_state_leave_nothing() {
    for polls in 0..40 {
        let store = TestStore::new();
        let (ours, theirs) = (store.client(), store.client());
        let is_over = Arc::new(AtomicUsize::new(0));
        let mut bodies = Vec::new();
        for number in 0..12 {
            let (locks, is_over) = (ours.clone(), Arc::clone(&is_over));
            bodies.push(tokio::spawn(async move {
                loop {
                    let body = |_| async {
                        assert_eq!(is_over.load(Ordering::SeqCst), 0, "a body runs after the drain");
                        tokio::task::yield_now().await;
                    };
                    let key = ["a", "b", "c"][number % 3];
                    if let Err(error) = locks.lock(key).ttl(TTL).run(body).await {
                        return error;
                    }
                }
            }));
        }
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        let drained = ours.drain(Duration::ZERO).await;
        is_over.store(1, Ordering::SeqCst);
        assert!(drained.is_complete(), "{polls}: {drained}");
        for body in bodies {
            assert_stopping(&timeout(seconds(1), body).await.unwrap().unwrap());
        }
        assert!(theirs.list("").await.unwrap().is_empty(), "{polls}");
        assert_eq!(store.sessions(), 0, "{polls}");
    }
}

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_granted_to_a_future_nobody_polls_is_released() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut aside: Acquiring = Box::pin(ours.lock("k").ttl(TTL).acquire());
    assert!(aside.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    sleep(Duration::from_millis(50)).await;
    held.release().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(!is_free(&theirs, "k").await, "it was granted");
    assert!(ours.drain(seconds(1)).await.is_complete());
    assert!(is_free(&theirs, "k").await);
    assert_stopping(&aside.await.unwrap_err());
}

/// Its entry is in the store, and no body has it: nobody may wait for the moment at which it would be passed over.
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_handed_off_to_a_future_nobody_polls_is_released() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    // From one place in the code: otherwise the record in the store would not fit.
    let lock = || ours.lock("k").ttl(TTL);
    let held = lock().acquire().await.unwrap();
    let mut aside: Acquiring = Box::pin(lock().acquire());
    assert!(aside.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    held.release().await.unwrap();
    let drained = ours.drain(Duration::ZERO).await;
    assert!(drained.is_complete() && is_free(&theirs, "k").await, "{drained}");
    assert_stopping(&aside.await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_held_at_least_stays_and_is_not_waited_for() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let begun = Instant::now();
    ours.lock("k").ttl(TTL).hold_at_least(seconds(600)).run(|_| async {}).await.unwrap();
    let still = tokio::spawn(ours.lock("other").ttl(TTL).hold_at_least(seconds(600)).run(|_| pending::<()>()));
    others_go_on().await;
    let drained = ours.drain(seconds(5)).await;
    assert!(drained.is_complete() && begun.elapsed() < seconds(7), "{drained} after {:?}", begun.elapsed());
    assert_stopping(&still.await.unwrap().unwrap_err());
    for key in ["k", "other"] {
        assert!(!is_free(&theirs, key).await, "{key}");
    }
    sleep(seconds(602)).await;
    assert!(is_free(&theirs, "k").await && is_free(&theirs, "other").await);
}
