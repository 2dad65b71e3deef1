//! Locks that are handed over, where the store fails: under paused time in memory.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod lacking;

use lacking::Lacking;
use locks_runtime::store::{Defaults, World};
use locks_runtime::stores::memory::Memory;
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, Key, Locks, Ticket};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What every lock has that names none.
const TTL: Duration = Duration::from_secs(10);
/// How long a store may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ON_ITS_WAY: Duration = Duration::from_secs(60);
const FOR_EVER: u32 = 1_000_000;

async fn acquire(locks: &Locks) -> Guard {
    locks.lock("k").acquire().await.unwrap()
}

/// A client that has a session already: the next request is none that opens it.
async fn in_session(store: &TestStore) -> Locks {
    let locks = store.client();
    locks.lock("other").acquire().await.unwrap().release().await.unwrap();
    locks
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_answer_was_lost_is_sent_again() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    for answers in [1, 3] {
        let guard = acquire(&giver).await;
        store.faults().lose_answers(answers);
        let ticket = guard.detach(ON_ITS_WAY).await.unwrap();
        store.faults().lose_answers(answers);
        let adopted = taker.adopt(&ticket).await.unwrap();
        assert!(adopted.fence() > ticket.fence());
        let line = giver.inspect("k").await.unwrap().unwrap();
        assert_eq!(line.holders[0].name, "a lock that was handed over", "which says no name");
        adopted.release().await.unwrap();
        assert_eq!(giver.inspect("k").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_handed_over_is_given_back() {
    let store = TestStore::new();
    let (giver, other) = (in_session(&store).await, in_session(&store).await);
    let guard = acquire(&giver).await;
    store.faults().set_down(true);
    let begun = Instant::now();
    let error = guard.detach(ON_ITS_WAY).await.unwrap_err();
    assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::Unavailable, Some("k")), "{error:?}");
    assert!(
        error.to_string().contains("was not handed over") && format!("{error:?}").contains("store is down"),
        "{error:?}"
    );
    assert!((CONNECT_TIMEOUT..TTL).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    store.faults().set_down(false);
    // By its withdrawal, or by its session's end: long before a ticket would lapse.
    let next = timeout(2 * TTL, other.lock("k").acquire()).await.unwrap().unwrap();
    next.check().unwrap();
}

/// It may be handed over, and nobody has the ticket.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_handed_over_lapses() {
    let store = TestStore::new();
    let (giver, other) = (in_session(&store).await, in_session(&store).await);
    let guard = acquire(&giver).await;
    let begun = Instant::now();
    store.faults().lose_answers(FOR_EVER);
    let error = guard.detach(ON_ITS_WAY).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    store.faults().lose_answers(0);
    let tried = other.lock("k").try_acquire().await.unwrap();
    assert!(tried.is_none(), "it was handed over, and what the giver withdraws afterwards is its own alone");
    let next = other.lock("k").acquire().await.unwrap();
    let after = begun.elapsed();
    assert!((ON_ITS_WAY..ON_ITS_WAY + TTL).contains(&after), "{after:?}");
    next.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ticket_outlives_a_store_that_is_away() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    let ticket = acquire(&giver).await.detach(ON_ITS_WAY).await.unwrap();
    store.faults().set_down(true);
    let error = taker.adopt(&ticket).await.unwrap_err();
    assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::Unavailable, Some("k")), "{error:?}");
    assert!(error.to_string().contains("adopt it again"), "{error}");
    store.faults().set_down(false);
    taker.adopt(&ticket).await.unwrap().check().unwrap();
}

/// Whoever asked has dropped the future, and nobody would release it.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_adopted_is_withdrawn() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    let ticket = acquire(&giver).await.detach(ON_ITS_WAY).await.unwrap();
    store.faults().lose_answers(FOR_EVER);
    assert_eq!(taker.adopt(&ticket).await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.faults().lose_answers(0);
    timeout(TTL, giver.lock("k").acquire()).await.unwrap().unwrap().release().await.unwrap();
    let error = taker.adopt(&ticket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_adoption_that_is_dropped_leaves_no_holder() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    let ticket = acquire(&giver).await.detach(ON_ITS_WAY).await.unwrap();
    store.faults().set_silent(true);
    assert!(timeout(Duration::from_millis(50), taker.adopt(&ticket)).await.is_err());
    store.faults().set_silent(false);
    // It may have been adopted, and is released then; or the ticket is as good as before.
    let free = timeout(TTL, giver.lock("k").acquire());
    tokio::select! {
        biased;
        free = free => drop(free.unwrap().unwrap()),
        adopted = taker.adopt(&ticket) => drop(adopted),
    }
    let _ = timeout(TTL, giver.lock("k").acquire()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_adoption_that_nobody_polls_is_withdrawn() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    let ticket = acquire(&giver).await.detach(ON_ITS_WAY).await.unwrap();
    store.faults().set_silent(true);
    let mut adopting = taker.adopt(&ticket).into_future();
    assert!(timeout(Duration::from_millis(1), adopting.as_mut()).await.is_err());
    // The background takes it over.
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.faults().set_silent(false);
    let _ = timeout(3 * TTL, giver.lock("k").acquire()).await.unwrap().unwrap();
    assert_eq!(adopting.await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_over_is_not_handed_over() {
    let store = TestStore::new();
    let locks = in_session(&store).await;
    let guard = locks.lock("k").hold_at_most(Duration::from_secs(3)).acquire().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(guard.detach(ON_ITS_WAY).await.unwrap_err().kind(), ErrorKind::LimitPassed);
    let guard = acquire(&locks).await;
    store.faults().set_down(true);
    guard.lost().await;
    assert_eq!(guard.detach(ON_ITS_WAY).await.unwrap_err().kind(), ErrorKind::Lost);
    store.faults().set_down(false);
    let guard = acquire(&locks).await;
    store.expire_sessions();
    assert_eq!(guard.detach(ON_ITS_WAY).await.unwrap_err().kind(), ErrorKind::Lost, "the store says so");
    acquire(&locks).await.release().await.unwrap();
}

/// A service that stops may leave its work to another.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_drained_may_hand_over() {
    let store = TestStore::new();
    let (giver, taker) = (in_session(&store).await, in_session(&store).await);
    let guard = acquire(&giver).await;
    let draining = tokio::spawn({
        let giver = giver.clone();
        async move { giver.drain(Duration::from_secs(30)).await }
    });
    giver.stopping().await;
    let begun = Instant::now();
    let ticket = guard.detach(ON_ITS_WAY).await.unwrap();
    assert!(draining.await.unwrap().is_complete());
    assert!(begun.elapsed() < TTL, "it has nothing to wait for: {:?}", begun.elapsed());
    assert_eq!(giver.adopt(&ticket).await.unwrap_err().kind(), ErrorKind::Closed);
    taker.adopt(&ticket).await.unwrap().check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_handed_over_holds_nothing_and_lost_nothing() {
    let store = TestStore::new();
    let locks = in_session(&store).await;
    let guard = acquire(&locks).await;
    assert_eq!(locks.holds().len(), 1);
    let ticket = guard.detach(ON_ITS_WAY).await.unwrap();
    assert_eq!(locks.holds().len(), 0);
    let adopted = locks.adopt(&ticket).await.unwrap();
    let holds = locks.holds();
    assert_eq!((holds.len(), holds[0].fence), (1, Some(adopted.fence())), "{holds:?}");
    drop(adopted);
}

#[tokio::test]
async fn a_store_that_cannot_hand_over_refuses_and_the_lock_is_released() {
    let memory = Memory::new(&World::background().unwrap());
    let with = Locks::with_store(Arc::new(memory.clone()), Defaults::default()).unwrap();
    let without =
        Locks::with_store(Arc::new(Lacking(memory, |claimed| claimed.hand_over = false)), Defaults::default()).unwrap();
    let ticket = with.lock("other").acquire().await.unwrap().detach(ON_ITS_WAY).await.unwrap();
    let refused = |error: Error, key: &str| {
        assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::Unsupported, Some(key)), "{error:?}");
        assert!(error.to_string().contains("cannot hand a lock over"), "{error}");
    };
    refused(acquire(&without).await.detach(ON_ITS_WAY).await.unwrap_err(), "k");
    refused(without.adopt(&ticket).await.unwrap_err(), "other");
    acquire(&with).await.release().await.unwrap();
    with.adopt(&ticket).await.unwrap().release().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn files_say_why_they_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let locks = Locks::connect(format!("file://{}", directory.path().display())).unwrap();
    let error = acquire(&locks).await.detach(ON_ITS_WAY).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    acquire(&locks).await.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ticket_of_another_store_in_memory_is_refused() {
    let (here, there) = (TestStore::new(), TestStore::new());
    let ticket = acquire(&here.client()).await.detach(ON_ITS_WAY).await.unwrap();
    let error = there.client().adopt(&ticket).await.unwrap_err();
    assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::InvalidTicket, Some("k")), "{error:?}");
    let ticket: Ticket = ticket.to_string().parse().unwrap();
    here.client().adopt(&ticket).await.unwrap().check().unwrap();
}
