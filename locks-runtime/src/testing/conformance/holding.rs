//! For how long a lock is held.

use super::fixture::{Fixture, LONG, PACES, acquire, refused, soon, too_busy, wait};
use crate::values::error::ErrorKind;
use crate::values::mode::Mode;
use crate::values::options::OnLost;
use std::future::pending;
use std::time::Duration;
use tokio::time::sleep;

list! {
    holding:
    |_| true => [
        a_short_ttl_is_renewed_for_holder_and_waiter,
        hold_at_least_extends_the_lock_beyond_the_body,
        hold_at_least_outlives_the_client,
        hold_at_least_is_not_the_most,
        a_short_hold_at_least_weakens_no_hold,
        hold_at_most_stops_the_body_and_releases_the_lock,
        hold_at_most_ends_a_hold_whose_guard_is_not_dropped,
        a_ttl_of_zero_is_refused,
        a_closed_client_refuses_and_leaves_nothing,
        closing_while_locks_are_acquired_leaves_nothing,
        a_hold_is_confirmed_and_renewed,
        a_drained_client_has_released_everything,
        a_ping_is_answered,
    ]
    |can| can.force_release => [
        a_lock_released_by_force_goes_to_the_next,
        a_lock_released_by_force_is_not_confirmed,
    ]
    |can| can.force_release && can.notices_removal => [
        a_lock_released_by_force_is_lost,
    ]
    |can| can.multi_key => [
        several_are_confirmed,
    ]
    |can| !can.force_release => [
        a_lock_that_cannot_be_released_by_force_stays,
    ]
}

/// The shortest TTL of this suite: long enough for a busy machine to renew in. A store may grant more.
const SHORT: Duration = Duration::from_secs(3);

async fn a_short_ttl_is_renewed_for_holder_and_waiter(fixture: &Fixture) {
    let granted = fixture.session_for(SHORT).await.ttl();
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let held = soon("a free lock", ours.lock(&key).name("us").ttl(SHORT).acquire()).await.unwrap();
    let waiter = tokio::spawn(theirs.lock(&key).name("them").ttl(SHORT).acquire());
    let lost = tokio::time::timeout(granted * 9 / 4, held.lost()).await;
    assert!(lost.is_err(), "lost though it was renewed: {lost:?}");
    held.check().unwrap();
    assert!(!waiter.is_finished(), "two hold `{key}`");
    fixture.until("k", &["us"], 1).await;
    held.release().await.unwrap();
    let guard = soon("the turn of one who waited beyond its TTL", waiter).await.unwrap().unwrap();
    guard.check().unwrap();
    guard.release().await.unwrap();
    fixture.is_free("k").await;
}

/// Alone, beside others where the store can, and after a wait.
async fn a_hold_is_confirmed_and_renewed(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&ours, &key, "us").await;
    let waiting = wait(&theirs, &key, "them");
    fixture.until("k", &["us"], 1).await;
    for _ in 0..2 {
        soon("a hold confirmed", guard.confirm()).await.unwrap();
        let left = soon("a hold renewed", guard.renew()).await.unwrap();
        assert!(left <= guard.ttl() && !left.is_zero(), "{left:?} of {:?}", guard.ttl());
    }
    guard.release().await.unwrap();
    let guard = soon("the next turn", waiting).await.unwrap().unwrap();
    soon("one that had waited, confirmed", guard.confirm()).await.unwrap();
    guard.release().await.unwrap();

    let can = fixture.can();
    let beside = [(Mode::Shared, can.shared), (Mode::Permits(2), can.permits)];
    for (mode, _) in beside.into_iter().filter(|(_, can)| *can) {
        let one = soon("the first", ours.lock(&key).mode(mode).ttl(LONG).acquire()).await.unwrap();
        let two = soon("the second", theirs.lock(&key).mode(mode).ttl(LONG).acquire()).await.unwrap();
        for guard in [&one, &two] {
            soon("one beside another, confirmed", guard.confirm()).await.unwrap();
        }
        one.release().await.unwrap();
        soon("the one that is left, confirmed", two.confirm()).await.unwrap();
        two.release().await.unwrap();
    }
}

async fn several_are_confirmed(fixture: &Fixture) {
    let ours = fixture.client();
    let both = ours.lock_all([fixture.key("k"), fixture.key("other")]).ttl(LONG);
    let guard = soon("both", both.acquire()).await.unwrap();
    soon("both confirmed", guard.confirm()).await.unwrap();
    guard.release().await.unwrap();
}

async fn a_lock_released_by_force_is_not_confirmed(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&ours, &key, "us").await;
    let waiting = wait(&theirs, &key, "them");
    fixture.until("k", &["us"], 1).await;
    assert!(soon("a release by force", theirs.force_release(&key)).await.unwrap());
    refused(soon("a hold that is gone", guard.confirm()).await, ErrorKind::Lost);
    refused(guard.check(), ErrorKind::Lost);
    let next = soon("the next turn", waiting).await.unwrap().unwrap();
    soon("the next one, confirmed", next.confirm()).await.unwrap();
    next.release().await.unwrap();
}

async fn a_drained_client_has_released_everything(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let running = tokio::spawn(ours.lock(&key).name("us").ttl(LONG).run(|_| pending::<()>()));
    fixture.until("k", &["us"], 0).await;
    let waiting = wait(&ours, &key, "behind");
    let next = wait(&theirs, &key, "them");
    fixture.until("k", &["us"], 1).await;
    let drained = soon("the end of a drain", ours.drain(Duration::from_millis(50))).await;
    assert!(drained.is_complete(), "{drained}");
    refused(soon("a body that was stopped", running).await.unwrap(), ErrorKind::Closed);
    refused(soon("one that waited", waiting).await.unwrap(), ErrorKind::Closed);
    refused(ours.lock(&key).acquire().await, ErrorKind::Closed);
    soon("the next turn", next).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("k").await;
}

async fn a_ping_is_answered(fixture: &Fixture) {
    let locks = fixture.client();
    soon("an answer", locks.ping()).await.unwrap();
    assert!(locks.status().is_ready());
}

async fn hold_at_least_extends_the_lock_beyond_the_body(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for least in PACES {
        let begun = fixture.world().now();
        ours.lock(&key).name("us").hold_at_least(least).run(|_| async {}).await.unwrap();
        let mut seen = Vec::new();
        for other in [&ours, &theirs] {
            seen.push(other.lock(&key).try_acquire().await.unwrap());
        }
        let line = fixture.line("k").await;
        // Otherwise the time was over before the look: then the caller waited for it, or the machine is too busy.
        let in_time = fixture.world().now().since(begun) < least;
        if in_time {
            assert!(seen.iter().all(Option::is_none), "free although it was extended");
            assert_eq!(line.0, ["us"]);
        }
        drop(seen);
        let guard = soon("the end of an extended lock", wait(&theirs, &key, "them")).await.unwrap().unwrap();
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "extended by {least:?}; acquired after {waited:?}");
        guard.check().unwrap();
        guard.release().await.unwrap();
        if in_time {
            return fixture.is_free("k").await;
        }
    }
    too_busy();
}

async fn hold_at_least_outlives_the_client(fixture: &Fixture) {
    let (theirs, key) = (fixture.client(), fixture.key("k"));
    let granted = fixture.session_for(SHORT).await.ttl();
    for pace in PACES {
        let ours = fixture.client();
        // More than the TTL.
        let least = granted + pace;
        let begun = fixture.world().now();
        let held = ours.lock(&key).name("us").ttl(SHORT).hold_at_least(least).acquire().await.unwrap();
        let waiter = wait(&theirs, &key, "them");
        ours.close().await;
        refused(held.check(), ErrorKind::Closed);
        drop(held);
        let tried = fixture.client().lock(&key).try_acquire().await.unwrap();
        let in_time = fixture.world().now().since(begun) < least;
        assert!(tried.is_none() || !in_time, "free although it was extended");
        drop(tried);
        let guard = soon("the end of an extended lock", waiter).await.unwrap().unwrap();
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "extended by {least:?}; acquired after {waited:?}");
        guard.release().await.unwrap();
        if in_time {
            return;
        }
    }
    too_busy();
}

async fn hold_at_least_is_not_the_most(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let lock = ours.lock(&key).name("us").ttl(SHORT).hold_at_least(Duration::from_millis(100));
    let held = lock.acquire().await.unwrap();
    let granted = fixture.session_for(SHORT).await.ttl();
    let lost = tokio::time::timeout(granted * 8 / 5, held.lost()).await;
    assert!(lost.is_err(), "lost after the least time: {lost:?}");
    held.check().unwrap();
    assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
    assert_eq!(fixture.line("k").await.0, ["us"]);
    held.release().await.unwrap();
    // The time for which it was extended is long over.
    fixture.is_free("k").await;
}

/// With a least time that is over long before the first renewal is due.
async fn a_short_hold_at_least_weakens_no_hold(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let lock = ours.lock(&key).name("us").ttl(LONG).hold_at_least(Duration::from_millis(100));
    let held = soon("a free lock", lock.acquire()).await.unwrap();
    let waiter = wait(&theirs, &key, "them");
    // The shortest lease of a store, twice.
    let lost = tokio::time::timeout(Duration::from_secs(5), held.lost()).await;
    assert!(lost.is_err(), "lost after the least time: {lost:?}");
    assert!(!waiter.is_finished(), "two hold `{key}`");
    assert_eq!(fixture.line("k").await.0, ["us"]);
    held.release().await.unwrap();
    soon("the turn of the next", waiter).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("k").await;
}

async fn hold_at_most_stops_the_body_and_releases_the_lock(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let most = Duration::from_millis(200);
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let begun = fixture.world().now();
        let run = locks.lock(&key).hold_at_most(most).on_lost(on_lost).run(|_| pending::<()>());
        let error = refused(soon("the end of `hold_at_most`", run).await, ErrorKind::LimitPassed);
        assert!(error.to_string().contains("hold_at_most"), "{error}");
        assert!(fixture.world().now().since(begun) >= most);
        fixture.until("k", &[], 0).await;
    }
}

/// Whoever notices first that the time is over, and although the guard is not dropped: after one more TTL at the latest.
async fn hold_at_most_ends_a_hold_whose_guard_is_not_dropped(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    for asks in [false, true] {
        let lock = locks.lock(&key).ttl(SHORT).hold_at_most(Duration::from_millis(200));
        let guard = soon("a free lock", lock.acquire()).await.unwrap();
        while asks && guard.check().is_ok() {
            // Not a mere yield: simulated time stands still while anybody is awake.
            sleep(Duration::from_millis(1)).await;
        }
        soon("the end of `hold_at_most`", guard.lost()).await;
        fixture.until("k", &[], 0).await;
        let next = acquire(&locks, &key, "next").await;
        refused(guard.release().await, ErrorKind::LimitPassed);
        assert_eq!(fixture.line("k").await.0, ["next"]);
        next.release().await.unwrap();
    }
}

async fn a_ttl_of_zero_is_refused(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    refused(locks.lock(&key).ttl(Duration::ZERO).acquire().await, ErrorKind::InvalidOption);
    refused(locks.lock(&key).ttl(Duration::MAX).acquire().await, ErrorKind::InvalidOption);
    fixture.is_free("k").await;
}

async fn a_closed_client_refuses_and_leaves_nothing(fixture: &Fixture) {
    let (locks, other) = (fixture.client(), fixture.client());
    let mut guards = Vec::new();
    for (number, ttl) in [(1, 5), (2, 5), (3, 7)] {
        let lock = locks.lock(fixture.key(&format!("k{number}"))).ttl(Duration::from_secs(ttl));
        guards.push(lock.acquire().await.unwrap());
    }
    let theirs = acquire(&other, &fixture.key("theirs"), "them").await;
    let waiter = wait(&locks, &fixture.key("theirs"), "us");
    fixture.until("theirs", &["them"], 1).await;
    locks.close().await;
    for guard in guards {
        refused(guard.check(), ErrorKind::Closed);
        assert_eq!(soon("the end by closing", guard.lost()).await.kind(), ErrorKind::Closed);
        fixture.is_free(guard.key().as_str().strip_prefix(fixture.prefix()).unwrap()).await;
    }
    refused(soon("the end of a closed client's wait", waiter).await.unwrap(), ErrorKind::Closed);
    assert_eq!(fixture.line("theirs").await, (vec!["them".to_owned()], vec![]));
    refused(locks.lock(fixture.key("k1")).acquire().await, ErrorKind::Closed);
    refused(locks.lock(fixture.key("k1")).try_acquire().await, ErrorKind::Closed);
    theirs.check().unwrap();
    theirs.release().await.unwrap();
    locks.close().await;
}

/// A request may be anywhere on its way when the client closes.
async fn closing_while_locks_are_acquired_leaves_nothing(fixture: &Fixture) {
    for round in 0..4 {
        let locks = fixture.client();
        let acquiring = (0..4).map(|number| {
            let lock = locks.lock(fixture.key(&format!("k{number}")));
            tokio::spawn(lock.ttl(Duration::from_secs(20 + number % 2)).acquire())
        });
        let acquiring: Vec<_> = acquiring.collect();
        sleep(fixture.world().between(Duration::ZERO, Duration::from_millis(4))).await;
        soon("closing", locks.close()).await;
        let mut guards = Vec::new();
        for acquired in acquiring {
            match soon("the end of what was begun before", acquired).await.unwrap() {
                Ok(guard) => guards.push(guard),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Lost), "{error:?}"),
            }
        }
        for guard in &guards {
            assert!(!guard.is_held(), "a hold of a client that was closed is still good, in round {round}");
        }
        for number in 0..4 {
            fixture.until(&format!("k{number}"), &[], 0).await;
        }
    }
}

async fn a_lock_released_by_force_goes_to_the_next(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    assert!(!theirs.force_release(&key).await.unwrap(), "it was not held");
    let held = acquire(&ours, &key, "us").await;
    let next = wait(&theirs, &key, "next");
    fixture.until("k", &["us"], 1).await;
    assert!(fixture.client().force_release(&key).await.unwrap());
    let guard = soon("the lock that was released by force", next).await.unwrap().unwrap();
    // The former holder's release is not the next one's.
    drop(held);
    sleep(Duration::from_millis(100)).await;
    guard.check().unwrap();
    assert_eq!(fixture.line("k").await, (vec!["next".to_owned()], vec![]));
    guard.release().await.unwrap();
    fixture.is_free("k").await;
}

async fn a_lock_released_by_force_is_lost(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let body = ours.lock(&key).ttl(SHORT).run(|_| pending::<()>());
    let released = async {
        fixture.until("k", &["a lock taken by hand"], 0).await;
        // A hold is watched from its first renewal on; sooner, the next renewal reports it.
        assert!(theirs.force_release(&key).await.unwrap());
    };
    let (lost, ()) = tokio::join!(soon("the loss of a lock that was released by force", body), released);
    refused(lost, ErrorKind::Lost);
    let guard = acquire(&theirs, &key, "next").await;
    guard.release().await.unwrap();
}

async fn a_lock_that_cannot_be_released_by_force_stays(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    assert!(!theirs.force_release(&key).await.unwrap_or_default(), "it was not held");
    let held = acquire(&ours, &key, "us").await;
    let error = refused(theirs.force_release(&key).await, ErrorKind::Unsupported);
    assert!(!error.is_retryable(), "{error}");
    assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none());
    held.check().unwrap();
    held.release().await.unwrap();
}
