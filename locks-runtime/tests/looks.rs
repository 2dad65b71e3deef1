//! What a process asks and says of its own locks, under paused time: a last look at one, how the client is, what it holds.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, LocalState, Locks, Mode, OnLost};
use std::future::{Future, pending};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(10);

/// What a client has as `connect_timeout` if it names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_there_is_confirmed_and_one_that_is_gone_is_lost_at_once() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(3)] {
        let guard = ours.lock("k").mode(mode).ttl(TTL).acquire().await.unwrap();
        guard.confirm().await.unwrap();
        assert!(theirs.force_release("k").await.unwrap());
        // Before anybody has told this process.
        assert!(guard.is_held(), "{mode}");
        let error = guard.confirm().await.unwrap_err();
        assert!(error.to_string().contains("is not its holder any more"), "{error}");
        for error in [error, guard.check().unwrap_err(), guard.lost().await, guard.confirm().await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Lost, "{mode}: {error}");
        }
    }
    let others = [ours.lock("k").mode(Mode::Shared), ours.lock("k").mode(Mode::Shared)].map(|lock| lock.ttl(TTL));
    let [first, second] = others;
    let (first, second) = (first.acquire().await.unwrap(), second.acquire().await.unwrap());
    first.confirm().await.unwrap();
    first.release().await.unwrap();
    second.confirm().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_handed_off_or_acquired_with_others_is_confirmed() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = theirs.lock("k").acquire().await.unwrap();
    // From one place in the code: otherwise the record in the store would not fit.
    let lock = || ours.lock("k");
    let waiting = tokio::spawn(lock().acquire());
    sleep(Duration::from_millis(1)).await;
    held.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    guard.confirm().await.unwrap();
    // To one of this process: the record in the store is that of the first.
    let next = tokio::spawn(lock().acquire());
    sleep(Duration::from_millis(1)).await;
    guard.release().await.unwrap();
    let next = next.await.unwrap().unwrap();
    assert_eq!(next.fence().sequence(), 1, "it was handed off");
    next.confirm().await.unwrap();
    next.release().await.unwrap();

    let both = ours.lock_all(["a", "b"]).ttl(TTL).acquire().await.unwrap();
    both.confirm().await.unwrap();
    theirs.force_release("b").await.unwrap();
    assert_eq!(both.confirm().await.unwrap_err().kind(), ErrorKind::Lost);

    let led = ours.leader("led").ttl(TTL).run(|term| async move { term.guard().confirm().await });
    led.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_confirms_nothing_and_ends_nothing() {
    let store = TestStore::new();
    let ours = store.client();
    let guard = ours.lock("k").ttl(TTL).acquire().await.unwrap();
    store.faults().set_down(true);
    assert_eq!(guard.confirm().await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.faults().set_down(false);
    store.faults().set_silent(true);
    let begun = Instant::now();
    let error = guard.confirm().await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Unavailable, CONNECT_TIMEOUT.as_secs()));
    guard.check().unwrap();
    store.faults().set_silent(false);
    guard.confirm().await.unwrap();
    // An answer that comes after the deadline is none.
    store.faults().set_silent(true);
    sleep(seconds(5)).await;
    assert_eq!(guard.confirm().await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_at_once_gives_all_the_time_that_there_is() {
    let store = TestStore::new();
    let ours = store.client();
    let guard = ours.lock("k").ttl(TTL).acquire().await.unwrap();
    let most = guard.time_left();
    for wait in [0, 1, 2, 3, 2] {
        sleep(seconds(wait)).await;
        let (first, second) = tokio::join!(guard.renew(), guard.renew());
        assert_eq!((first.unwrap(), second.unwrap(), guard.time_left()), (most, most, most));
    }
    let limited = ours.lock("limited").ttl(TTL).hold_at_most(seconds(3)).acquire().await.unwrap();
    assert_eq!(limited.renew().await.unwrap(), seconds(3));
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_says_why_and_the_hold_goes_on_to_its_deadline() {
    let store = TestStore::new();
    let ours = store.client();
    let guard = ours.lock("k").ttl(TTL).acquire().await.unwrap();
    store.faults().set_down(true);
    let begun = Instant::now();
    let error = guard.renew().await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Unavailable, CONNECT_TIMEOUT.as_secs()));
    assert!(format!("{error:?}").contains("the memory store is down"), "{error:?}");
    guard.check().unwrap();
    let error = guard.renew().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "its deadline comes before the timeout: {error}");
    assert!(begun.elapsed() < TTL);
    store.faults().set_down(false);

    let blocked = ours.lock("blocked").ttl(TTL).acquire().await.unwrap();
    let other = ours.lock("other").ttl(TTL).acquire().await.unwrap();
    store.faults().set_renewal_blocked("blocked", true);
    let error = blocked.renew().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:?}").contains("the entry is blocked"), "{error:?}");
    other.renew().await.unwrap();
    store.faults().set_renewal_blocked("blocked", false);
    blocked.renew().await.unwrap();
    store.expire_sessions();
    assert_eq!(other.renew().await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_ready_unless_its_store_is_away_or_it_is_drained() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let status = ours.status();
    assert!(status.is_ready() && status.is_reachable.is_none() && status.sessions.is_empty(), "{status:?}");

    let held = theirs.lock("theirs").acquire().await.unwrap();
    let guard = ours.lock("k").ttl(TTL).acquire().await.unwrap();
    let _waiting = tokio::spawn(ours.lock("theirs").ttl(TTL).acquire());
    sleep(seconds(100)).await;
    let status = ours.status();
    assert_eq!((status.is_reachable, status.held, status.waiting), (Some(true), 1, 1), "{status:?}");
    assert!(status.last_answer.unwrap() <= TTL / 3 && status.sessions.len() == 1, "{status:?}");
    assert_eq!((status.sessions[0].ttl, status.sessions[0].held), (TTL, 1));
    assert_eq!(status.sessions[0].time_left, guard.time_left());

    store.faults().set_down(true);
    sleep(TTL / 3).await;
    let status = ours.status();
    assert!(!status.is_ready() && status.failure.as_deref().unwrap().contains("is down"), "{status:?}");
    store.faults().set_down(false);
    sleep(seconds(2)).await;
    assert!(ours.status().is_ready());
    // Without an error: a renewal that is not answered.
    store.faults().set_silent(true);
    sleep(seconds(7)).await;
    assert!(!ours.status().is_ready(), "{:?}", ours.status());
    store.faults().set_silent(false);
    sleep(seconds(1)).await;
    assert!(ours.status().is_ready());
    guard.check().unwrap();

    let draining = tokio::spawn({
        let ours = ours.clone();
        async move { ours.drain(seconds(60)).await }
    });
    sleep(Duration::from_millis(1)).await;
    let status = ours.status();
    assert!(!status.is_ready() && status.is_reachable == Some(true) && status.held == 1, "{status:?}");
    guard.release().await.unwrap();
    assert!(draining.await.unwrap().is_complete());
    let status = ours.status();
    assert!(!status.is_ready() && status.sessions.is_empty() && status.held + status.waiting == 0, "{status:?}");
    held.release().await.unwrap();
}

/// Nobody asks again: it cannot be known for ever that the store is away.
#[tokio::test(start_paused = true)]
async fn a_client_without_a_session_is_ready_again_after_a_ttl() {
    let store = TestStore::new();
    let ours = store.client();
    store.faults().set_down(true);
    ours.lock("k").ttl(TTL).try_acquire().await.unwrap_err();
    let status = ours.status();
    assert!(!status.is_ready() && status.failure.is_some(), "{status:?}");
    store.faults().set_down(false);
    sleep(TTL).await;
    let status = ours.status();
    assert!(status.is_ready() && status.is_reachable.is_none() && status.failure.is_none(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_granted_to_a_future_nobody_polls_is_waited_for() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut aside = Box::pin(ours.lock("k").ttl(TTL).acquire());
    assert!(aside.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    sleep(Duration::from_millis(50)).await;
    held.release().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none(), "it was granted");
    let held = ours.holds();
    assert_eq!(held.iter().map(|lock| lock.state).collect::<Vec<_>>(), [LocalState::Waiting]);
    aside.await.unwrap().release().await.unwrap();
}

/// Otherwise others would take it for one that may wait for ever.
#[tokio::test(start_paused = true)]
async fn a_wait_below_a_millisecond_is_on_record_as_one_with_a_limit() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut waiting = Box::pin(ours.lock("k").wait(Duration::from_micros(500)).acquire());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    tokio::task::yield_now().await;
    let limits = async || {
        let line = theirs.inspect("k").await.unwrap().unwrap();
        line.waiters.iter().map(|waiter| waiter.limit_ms).collect::<Vec<_>>()
    };
    assert_eq!(limits().await, [1]);
    drop(waiting);
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_one_answer_and_counts_as_one() {
    let store = TestStore::new();
    let ours = store.client();
    assert_eq!(ours.ping().await.unwrap(), Duration::ZERO);
    assert_eq!(ours.status().is_reachable, Some(true));
    store.faults().set_silent(true);
    let begun = Instant::now();
    assert_eq!(ours.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(begun.elapsed(), CONNECT_TIMEOUT);
    assert!(!ours.status().is_ready());
    store.faults().set_silent(false);
    ours.ping().await.unwrap();
    assert!(ours.status().is_ready());
    // A refusal is an answer.
    store.faults().set_refusing(true);
    assert_eq!(ours.ping().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(ours.status().is_reachable, Some(true));
}

fn states(locks: &Locks) -> Vec<(String, LocalState)> {
    locks.holds().iter().map(|lock| (lock.keys[0].to_string(), lock.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_knows_what_it_holds_and_waits_for_and_from_where() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    assert!(ours.holds().is_empty());
    let _theirs = theirs.lock("theirs").acquire().await.unwrap();
    let guard = ours.lock_all(["b", "a"]).name("both").ttl(TTL).acquire().await.unwrap();
    let line = line!() - 1;
    let waiting = tokio::spawn(ours.lock("theirs").name("waits").ttl(TTL).acquire());
    sleep(Duration::from_millis(1)).await;
    let behind = tokio::spawn(ours.lock("theirs").name("behind").acquire());
    sleep(seconds(100)).await;

    let holds = ours.holds();
    let names: Vec<_> = holds.iter().map(|lock| (&*lock.name, lock.state)).collect();
    use LocalState::{Held, Lapsing, Overrunning, Releasing, Waiting};
    assert_eq!(names, [("both", Held), ("waits", Waiting), ("behind", Waiting)]);
    let held = &holds[0];
    assert_eq!(held.keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((held.fence, held.time_left), (Some(guard.fence()), Some(guard.time_left())));
    assert_eq!(held.lasted.as_secs(), 100);
    assert!(held.origin.ends_with(&format!("tests/looks.rs:{line}")), "{}", held.origin);
    assert!(held.to_string().starts_with("`a`, `b` held for 100.0s, by both (locks-runtime/tests/"), "{held}");
    assert_eq!((holds[1].fence, holds[1].time_left), (None, None));
    assert!(holds[1].lasted >= seconds(100));
    let json = serde_json::to_value(held).unwrap();
    assert_eq!((&json["state"], &json["mode"]), (&"held".into(), &"exclusive".into()), "{json}");
    assert_eq!(json["fence"], guard.fence().to_string(), "{json}");
    assert!(json["lasted_ms"].as_u64() >= Some(100_000) && json["left_ms"].as_u64() > Some(6_000), "{json}");
    waiting.abort();
    behind.abort();
    guard.release().await.unwrap();

    ours.lock("lapsing").ttl(TTL).hold_at_least(seconds(60)).run(|_| async {}).await.unwrap();
    let overrunning = ours.lock("overrunning").ttl(TTL).on_lost(OnLost::Continue).run(|_| pending::<()>());
    let overrunning = tokio::spawn(overrunning);
    sleep(Duration::from_millis(1)).await;
    theirs.force_release("overrunning").await.unwrap();
    sleep(TTL).await;
    let slow = ours.lock("releasing").ttl(TTL).acquire().await.unwrap();
    store.faults().set_silent(true);
    drop(slow);
    sleep(Duration::from_millis(1)).await;
    let expected = [("lapsing", Lapsing), ("overrunning", Overrunning), ("releasing", Releasing)];
    assert_eq!(states(&ours), expected.map(|(key, state)| (key.to_owned(), state)));
    store.faults().set_silent(false);
    overrunning.abort();
    sleep(seconds(61)).await;
    assert!(ours.holds().is_empty(), "{:?}", ours.holds());
}
