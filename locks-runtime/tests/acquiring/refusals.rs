//! A store that answers and refuses, or does not answer.

use crate::events::Warnings;
use crate::{CONNECT_TIMEOUT, TTL, seconds};
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, Lock, Locks};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a request may take that fails because of its store: a pause between two attempts more.
const AT_MOST: Duration = CONNECT_TIMEOUT.saturating_add(Duration::from_millis(1100));

/// Acquires in the background; returns the error, and how long it took.
fn failing(lock: Lock) -> tokio::task::JoinHandle<(Error, Duration)> {
    tokio::spawn(async move {
        let begun = Instant::now();
        let error = lock.acquire().await.unwrap_err();
        (error, begun.elapsed())
    })
}

/// A client whose session is open, and renewed.
async fn client(store: &TestStore) -> Locks {
    let locks = store.client();
    locks.lock("other").acquire().await.unwrap().release().await.unwrap();
    locks
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_given_up_although_it_answers_renewals() {
    let store = TestStore::new();
    let locks = client(&store).await;
    let warnings = Warnings::collect();
    let held = locks.lock("held").ttl(seconds(1)).acquire().await.unwrap();
    store.faults().set_full(true);
    let (error, took) = failing(locks.lock("k").ttl(seconds(1))).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("full"), "{error}");
    assert!(took >= CONNECT_TIMEOUT && took < AT_MOST, "{took:?}");
    assert_eq!(warnings.with("full").len(), 1, "one event for the request");
    held.check().unwrap();
    store.faults().set_full(false);
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_limit_tries_until_then_and_names_the_cause() {
    let store = TestStore::new();
    let locks = client(&store).await;
    store.faults().set_full(true);
    let (error, took) = failing(locks.lock("k").wait(seconds(30))).await.unwrap();
    assert_eq!((error.kind(), took.as_secs()), (ErrorKind::Unavailable, 30));
    assert!(error.to_string().contains("full"), "{error}");
    let waiting = tokio::spawn(locks.lock("k").wait(seconds(30)).acquire());
    sleep(seconds(20)).await;
    store.faults().set_full(false);
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

/// What is granted and cannot be extended is asked to be extended again, not entered again behind itself.
#[tokio::test(start_paused = true)]
async fn an_extension_that_is_refused_is_given_up_too_and_leaves_nothing() {
    let store = TestStore::new();
    let (locks, other) = (client(&store).await, store.client());
    let held = other.lock("k").acquire().await.unwrap();
    let waiting = failing(locks.lock("k").hold_at_least(seconds(600)));
    sleep(seconds(20)).await;
    // It is in the queue already, and will be granted.
    store.faults().set_full(true);
    held.release().await.unwrap();
    let granted = Instant::now();
    let (error, _) = waiting.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("full"), "{error}");
    assert!(granted.elapsed() < AT_MOST, "{:?}", granted.elapsed());
    store.faults().set_full(false);
    other.lock("k").wait(seconds(1)).acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_extension_whose_answer_is_lost_does_not_wait_behind_its_own_entry() {
    let store = TestStore::new();
    let locks = client(&store).await;
    for lost in 1..4 {
        let guard = locks.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(locks.lock("k").name("another").hold_at_least(seconds(60)).acquire());
        sleep(seconds(1)).await;
        let released = Instant::now();
        guard.release().await.unwrap();
        // Whichever these are: entering, extending, leaving.
        store.faults().lose_answers(lost);
        waiting.await.unwrap().unwrap().release().await.unwrap();
        assert!(released.elapsed() < seconds(3), "{:?}", released.elapsed());
        sleep(seconds(60)).await;
    }
}

/// Wherever a request with `hold_at_least` is dropped, nothing stays.
#[tokio::test(start_paused = true)]
async fn what_is_dropped_while_it_is_extended_does_not_stay() {
    let store = TestStore::new();
    let (locks, other) = (client(&store).await, store.client());
    let held = other.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock("k").hold_at_least(seconds(3600)).acquire());
    sleep(seconds(1)).await;
    store.faults().set_full(true);
    held.release().await.unwrap();
    sleep(seconds(1)).await;
    assert!(!waiting.is_finished());
    waiting.abort();
    store.faults().set_full(false);
    assert!(waiting.await.unwrap_err().is_cancelled());
    other.lock("k").wait(seconds(1)).acquire().await.unwrap().release().await.unwrap();
}

/// One after another they would take minutes.
#[tokio::test(start_paused = true)]
async fn many_requests_for_one_lock_of_a_silent_or_failing_store_end_at_the_same_time() {
    let faults: [fn(&TestStore, bool); 3] = [
        |store, on| store.faults().set_down(on),
        |store, on| store.faults().set_silent(on),
        |store, on| store.faults().set_full(on),
    ];
    for fault in faults {
        let store = TestStore::new();
        let locks = client(&store).await;
        fault(&store, true);
        let requests: Vec<_> = (0..50).map(|_| failing(locks.lock("k"))).collect();
        sleep(seconds(2)).await;
        let later: Vec<_> = (0..50).map(|_| failing(locks.lock("k"))).collect();
        for request in requests.into_iter().chain(later) {
            let (error, took) = request.await.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(took >= CONNECT_TIMEOUT && took < AT_MOST, "{took:?}: {error}");
        }
        fault(&store, false);
        locks.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
}

/// The time that the store has counts from its last answer to those in front, not from the request.
#[tokio::test(start_paused = true)]
async fn a_request_that_waited_long_for_others_does_not_fail_at_once() {
    let store = TestStore::new();
    let locks = client(&store).await;
    let guard = locks.lock("k").acquire().await.unwrap();
    let waiting = failing(locks.lock("k").name("one"));
    let another = failing(locks.lock("k").name("another"));
    sleep(seconds(60)).await;
    store.faults().set_full(true);
    let released = Instant::now();
    guard.release().await.unwrap();
    waiting.await.unwrap();
    another.await.unwrap();
    assert!(released.elapsed() >= CONNECT_TIMEOUT && released.elapsed() < AT_MOST, "{:?}", released.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_refused_is_tried_again_for_as_long_as_the_session_lives() {
    let store = TestStore::new();
    let (locks, other) = (client(&store).await, store.client());
    let warnings = Warnings::collect();
    let body = |_: Guard| {
        store.faults().set_release_forbidden(true);
        async { 42 }
    };
    let begun = Instant::now();
    assert_eq!(locks.lock("k").ttl(TTL).run(body).await.unwrap(), 42);
    assert!(begun.elapsed() <= CONNECT_TIMEOUT, "{:?}", begun.elapsed());
    sleep(TTL * 10).await;
    assert_eq!(other.lock("k").try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(warnings.with("release").len(), 1, "one warning, not one for each attempt");
    store.faults().set_release_forbidden(false);
    other.lock("k").wait(seconds(2)).acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_release_of_a_guard_reports_it_and_goes_on() {
    let store = TestStore::new();
    let locks = client(&store).await;
    let guard = locks.lock("k").acquire().await.unwrap();
    store.faults().set_release_forbidden(true);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    // Behind it nobody hears that this process holds the lock.
    let (error, _) = failing(locks.lock("k")).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("no entry may leave"), "{error}");
    store.faults().set_release_forbidden(false);
    locks.lock("k").wait(seconds(2)).acquire().await.unwrap().release().await.unwrap();
}

/// How long the store had been silent when the time to wait was over tells whether that is why.
#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_near_the_end_of_a_wait_is_no_reason_for_its_end() {
    for (silent_for, expected) in [(3, ErrorKind::Timeout), (6, ErrorKind::Unavailable)] {
        let store = TestStore::new();
        let _held = client(&store).await.lock("k").acquire().await.unwrap();
        let waiting = failing(client(&store).await.lock("k").wait(seconds(8)));
        sleep(seconds(8 - silent_for)).await;
        // So that the waiter has something to ask.
        store.expire_sessions();
        store.faults().set_silent(true);
        let (error, took) = waiting.await.unwrap();
        assert_eq!((error.kind(), took.as_secs()), (expected, 8), "silent for {silent_for} of 8 s: {error}");
    }
}

/// It asks who is ahead: of all its locks within the time that one may take.
#[tokio::test(start_paused = true)]
async fn a_limit_that_passes_while_the_store_is_silent_is_said_soon_however_many_locks_are_asked_for() {
    const LIMIT: Duration = Duration::from_secs(5);
    let store = TestStore::new();
    let _held = store.client().lock("k/0").ttl(LIMIT * 10).acquire().await.unwrap();
    let (other, begun) = (store.client(), Instant::now());
    let keys: Vec<String> = (0..8).map(|number| format!("k/{number}")).collect();
    let waiting = other.lock_all(keys).ttl(LIMIT * 10).wait(LIMIT).acquire();
    let silence = async {
        sleep(LIMIT / 5).await;
        store.faults().set_silent(true);
    };
    let (waited, ()) = tokio::join!(waiting, silence);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Timeout);
    let elapsed = begun.elapsed();
    assert!((LIMIT..LIMIT + Duration::from_millis(1100)).contains(&elapsed), "{elapsed:?}");
}
