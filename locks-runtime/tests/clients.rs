//! Many callers of one client, many TTLs of one client, and clients that are dropped.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use locks_runtime::store::Change;
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind};
use std::future::pending;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(10);

/// What a client has as `connect_timeout` if it names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Callers of a store that answers nothing, one for each TTL, and how long the last of them waited.
async fn ask_a_silent_store(ttls: impl Iterator<Item = Duration>) -> Duration {
    let store = TestStore::new();
    let locks = store.client();
    store.faults().set_silent(true);
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for (number, ttl) in ttls.enumerate() {
        callers.spawn(locks.lock(format!("k/{number}")).ttl(ttl).acquire());
    }
    while let Some(refused) = callers.join_next().await {
        assert_eq!(refused.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_a_silent_store_wait_as_long_as_one() {
    let one = ask_a_silent_store([TTL].into_iter()).await;
    assert!(one <= CONNECT_TIMEOUT * 3 / 2, "{one:?}");
    let twenty = ask_a_silent_store([TTL; 20].into_iter()).await;
    assert!(twenty <= one + seconds(1), "one {one:?}, twenty {twenty:?}");
    let each_another = ask_a_silent_store((1..=20).map(seconds)).await;
    assert!(each_another <= one + seconds(1), "one {one:?}, twenty with TTLs of their own {each_another:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_in_time_however_many_ask_a_silent_store() {
    let store = TestStore::new();
    let locks = store.client();
    let _guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.faults().set_silent(true);
    for ttl in 1..=20 {
        tokio::spawn(locks.lock("other").ttl(seconds(ttl)).acquire());
    }
    sleep(seconds(1)).await;
    let begun = Instant::now();
    locks.close().await;
    assert!(begun.elapsed() <= CONNECT_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(locks.lock("k").acquire().await.unwrap_err().kind(), ErrorKind::Closed);
}

/// Each TTL has a session of its own until there are eight, and later again when these are idle.
#[tokio::test(start_paused = true)]
async fn many_ttls_are_few_sessions_and_a_few_are_exact() {
    let store = TestStore::new();
    let locks = store.client();
    let mut guards = Vec::new();
    for ttl in 1..=8 {
        guards.push(locks.lock(format!("exact/{ttl}")).ttl(seconds(ttl)).acquire().await.unwrap());
    }
    assert_eq!(store.sessions(), 8);
    for ttl in 1..=300 {
        guards.push(locks.lock(format!("k/{ttl}")).ttl(seconds(ttl)).acquire().await.unwrap());
    }
    let sessions = store.sessions();
    assert!((20..=40).contains(&sessions), "{sessions} sessions");
    sleep(seconds(60)).await;
    for guard in guards {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    // Three of the longest, and a renewal.
    sleep(seconds(1_100)).await;
    assert_eq!(store.sessions(), 0);
}

/// A TTL that is computed from the time that is left, for instance.
#[tokio::test(start_paused = true)]
async fn a_ttl_that_is_never_the_same_makes_no_session_each_time() {
    let store = TestStore::new();
    let locks = store.client();
    for number in 0..1_000 {
        let ttl = seconds(30) + Duration::from_millis(number * 7);
        let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
        guard.release().await.unwrap();
    }
    assert!(store.sessions() <= 12, "{} sessions", store.sessions());
}

/// However it is rounded, it is never lost before it would have been.
#[tokio::test(start_paused = true)]
async fn a_rounded_ttl_is_not_shorter_and_at_most_a_quarter_longer() {
    for ttl in [9, 11, 13, 17, 23, 31, 37, 59, 61] {
        let store = TestStore::new();
        let locks = store.client();
        let mut others = Vec::new();
        for other in 100..108 {
            others.push(locks.lock(format!("other/{other}")).ttl(seconds(other)).acquire().await.unwrap());
        }
        let guard = locks.lock("k").ttl(seconds(ttl)).acquire().await.unwrap();
        store.faults().set_silent(true);
        let begun = Instant::now();
        assert_eq!(guard.lost().await.kind(), ErrorKind::Lost);
        let lasted = begun.elapsed();
        assert!(lasted > seconds(ttl) * 9 / 10 && lasted <= seconds(ttl) * 5 / 4, "{ttl} s lasted {lasted:?}");
    }
}

/// Waits until the store has none of a client's sessions any more, for a time in which it would not be idle.
async fn nothing_is_left_soon(store: &TestStore) {
    sleep(seconds(2)).await;
    assert_eq!(store.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_closes_its_sessions_soon() {
    let store = TestStore::new();
    for ttl in [1, 10, 3600] {
        let guard = store.client().lock("k").ttl(seconds(ttl)).acquire().await.unwrap();
        assert_eq!(store.sessions(), 1);
        guard.release().await.unwrap();
        nothing_is_left_soon(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_its_client_and_is_released_first() {
    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(seconds(3600)).await;
    guard.check().unwrap();
    store.faults().set_down(true);
    drop(guard);
    sleep(seconds(2)).await;
    assert_eq!(store.sessions(), 1, "closed before the release");
    store.faults().set_down(false);
    nothing_is_left_soon(&store).await;
    assert!(store.client().lock("k").try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_client() {
    let store = TestStore::new();
    let theirs = store.client().lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(store.client().lock("k").acquire());
    let running = tokio::spawn(store.client().lock("other").run(|_| pending::<()>()));
    sleep(seconds(3600)).await;
    theirs.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    running.abort();
    nothing_is_left_soon(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_leaves_what_is_to_be_held_at_least() {
    let store = TestStore::new();
    let begun = Instant::now();
    let guard = store.client().lock("k").hold_at_least(seconds(600)).acquire().await.unwrap();
    guard.release().await.unwrap();
    nothing_is_left_soon(&store).await;
    let theirs = store.client();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    theirs.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert!(begun.elapsed() >= seconds(600) && begun.elapsed() <= seconds(602), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_before_its_session_is_open_leaves_none() -> Result<(), Error> {
    let store = TestStore::new();
    store.faults().set_silent(true);
    let waiting = tokio::spawn(store.client().lock("k").acquire());
    sleep(seconds(1)).await;
    waiting.abort();
    sleep(seconds(1)).await;
    store.faults().set_silent(false);
    nothing_is_left_soon(&store).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_in_memory_reports_each_hold_however_short() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let mut watch = theirs.watch("k").await.unwrap();
    for number in 0..20 {
        ours.lock("k").name(number.to_string()).acquire().await.unwrap().release().await.unwrap();
    }
    for number in 0..20 {
        let Some(Change::Acquired(_, holder)) = watch.next().await else { panic!("hold {number}") };
        assert_eq!(holder.name, number.to_string());
        assert!(matches!(watch.next().await, Some(Change::Released(_))), "hold {number}");
    }
}
