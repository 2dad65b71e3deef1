//! Code of the application that panics where the engine calls it: a subscriber, a waker.
#![cfg(feature = "testing")]
#![expect(clippy::panic, reason = "what is tested")]

use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, Locks, blocking};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
#[cfg(feature = "metrics")]
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const TTL: Duration = Duration::from_secs(10);

/// A subscriber that panics at each event and each end of a span, once it is told to.
#[derive(Clone, Default)]
struct Hostile(Arc<Panics>);

#[derive(Default)]
struct Panics {
    armed: AtomicBool,
    count: AtomicU32,
}

impl Hostile {
    fn panic(&self) {
        if self.0.armed.load(Ordering::SeqCst) {
            self.0.count.fetch_add(1, Ordering::SeqCst);
            panic!("a subscriber");
        }
    }
}

impl Subscriber for Hostile {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.panic();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, _: Id) -> bool {
        self.panic();
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_ends_no_renewals_and_no_releases() {
    // Or a thread of another test, without any subscriber, may be the first to reach an event: nobody would want it.
    tracing::subscriber::set_global_default(Hostile::default()).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let hostile = Hostile::default();
    let _subscribed = tracing::subscriber::set_default(hostile.clone());
    let store = TestStore::new();
    let locks = store.client();
    let (guard, other) =
        (locks.lock("k").ttl(TTL).acquire().await.unwrap(), locks.lock("other").acquire().await.unwrap());
    hostile.0.armed.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        store.faults().set_down(true);
        sleep(TTL / 2).await;
        store.faults().set_down(false);
        sleep(10 * TTL).await;
        guard.check().unwrap();
    }
    let renewals = hostile.0.count.load(Ordering::SeqCst);
    assert!(renewals > 0, "no renewal has failed");
    // A release that the store refuses is reported, and retried.
    store.faults().set_down(true);
    drop(guard);
    sleep(Duration::from_secs(2)).await;
    assert!(hostile.0.count.load(Ordering::SeqCst) > renewals, "no release has failed");
    store.faults().set_down(false);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(store.client().inspect("k").await.unwrap(), None);
    // A loss stops whoever waits for it.
    store.expire_sessions();
    assert_eq!(other.lost().await.kind(), ErrorKind::Lost);
    drop((locks, other));
    sleep(Duration::from_secs(2)).await;
    hostile.0.armed.store(false, Ordering::SeqCst);
    store.client().lock("k").acquire().await.unwrap().release().await.unwrap();
}

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

/// The timers and channels of all clients are on one thread, which calls the wakers.
#[test]
fn a_waker_that_panics_harms_nobody_else() {
    const WAIT: Duration = Duration::from_millis(50);
    let locks = Locks::connect("memory:hostile").unwrap();
    let guard = blocking(locks.lock("k").acquire()).unwrap();
    let bad = Waker::from(Arc::new(Bad));
    let mut timed = Box::pin(locks.lock("k").wait(WAIT).acquire());
    let mut waiting = pin!(locks.lock("k").acquire());
    let mut lost = Box::pin(guard.lost());
    for _ in 0..2 {
        assert!(timed.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        assert!(lost.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
    }
    for _ in 0..3 {
        let late = blocking(locks.lock("k").wait(WAIT).acquire()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
    }
    drop((timed, lost));
    drop(guard);
    let next = blocking(waiting).unwrap();
    blocking(next.release()).unwrap();
}

/// A recorder that panics whenever something is counted or measured.
#[cfg(feature = "metrics")]
struct BadRecorder;

#[cfg(feature = "metrics")]
impl metrics::Recorder for BadRecorder {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        panic!("a counter");
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        panic!("a gauge");
    }

    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        panic!("a histogram");
    }
}

/// The waiter is at the store, in the background: what it reports there must not take the request with it.
#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_ends_no_wait_and_no_hold() {
    let _recorded = metrics::set_default_local_recorder(&BadRecorder);
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let guard = ours.lock("k").ttl(TTL).acquire().await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(theirs.lock("k").ttl(TTL).acquire());
    sleep(10 * TTL).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
    let next = waiting.join_next().await.unwrap().unwrap().unwrap();
    store.expire_sessions();
    assert_eq!(next.lost().await.kind(), ErrorKind::Lost);
}
