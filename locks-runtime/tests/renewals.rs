//! Renewals that cover a part of a session: a hold whose entry they do not cover ends at that entry's own deadline, and
//! everything else of the session goes on.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, Lock, Locks};
use std::future::pending;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};

const TTL: Duration = Duration::from_secs(10);

/// The TTL of a holder whose renewals do not matter: it has released before the first one.
const LONG: Duration = Duration::from_secs(1_000);

/// Renewals are jittered: what must hold must hold each time.
const REPEATS: usize = 20;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The lock whose renewals are blocked.
fn blocked(locks: &Locks) -> Lock {
    locks.lock("blocked").name("ours").ttl(TTL)
}

/// A hold of the blocked lock and one of another lock, in one session that was opened just now.
async fn two_holds(locks: &Locks) -> (Guard, Guard) {
    (blocked(locks).acquire().await.unwrap(), locks.lock("other").ttl(TTL).acquire().await.unwrap())
}

/// The name of whoever holds the blocked lock, as the store has it.
async fn holder(store: &TestStore) -> Option<String> {
    let line = store.client().inspect("blocked").await.unwrap()?;
    Some(line.holders.first()?.name.to_string())
}

fn assert_not_renewed(lost: &Error) {
    let text = lost.to_string();
    assert_eq!((lost.kind(), lost.key().unwrap().as_str()), (ErrorKind::Lost, "blocked"), "{text}");
    assert!(text.contains("the store did not renew it in time"), "{text}");
    assert!(text.contains("the entry is blocked: a test said so"), "no cause in: {text}");
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_not_renewed_is_lost_at_its_old_deadline_and_others_of_its_session_live_on() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let locks = store.client();
        let (guard, other) = two_holds(&locks).await;
        store.faults().set_renewal_blocked("blocked", true);
        let begun = Instant::now();
        let lost = guard.lost().await;
        // The session was opened at `begun`, and nothing has renewed this entry since.
        assert!(begun.elapsed() > TTL * 9 / 10 && begun.elapsed() < TTL, "lost after {:?}", begun.elapsed());
        assert_not_renewed(&lost);
        assert_eq!(holder(&store).await.as_deref(), Some("ours"), "the store was first");
        sleep(TTL - begun.elapsed()).await;
        assert_eq!(holder(&store).await, None, "the entry has not lapsed");
        assert_not_renewed(&guard.check().unwrap_err());
        sleep(20 * TTL).await;
        other.check().unwrap();
        assert_eq!(store.sessions(), 1);
        assert_not_renewed(&guard.release().await.unwrap_err());
        other.release().await.unwrap();
        assert!(locks.list("").await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_has_lasted_long_is_lost_within_a_ttl_of_its_last_renewal() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let (guard, other) = two_holds(&store.client()).await;
        sleep(20 * TTL).await;
        store.faults().set_renewal_blocked("blocked", true);
        let begun = Instant::now();
        let lost = guard.lost().await;
        // The last renewal that covered it was sent up to a third of the TTL ago.
        assert!(begun.elapsed() > TTL / 2 && begun.elapsed() < TTL, "lost after {:?}", begun.elapsed());
        assert_not_renewed(&lost);
        assert_eq!(holder(&store).await.as_deref(), Some("ours"), "the store was first");
        sleep(20 * TTL).await;
        other.check().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_renewed_again_before_its_deadline_goes_on() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let (guard, other) = two_holds(&store.client()).await;
        // The first time, the entry was renewed when it was blocked; later, up to a third of the TTL before.
        for length in [TTL / 2, TTL / 4, TTL / 4] {
            store.faults().set_renewal_blocked("blocked", true);
            sleep(length).await;
            store.faults().set_renewal_blocked("blocked", false);
            sleep(20 * TTL).await;
            guard.check().unwrap();
            assert_eq!(holder(&store).await.as_deref(), Some("ours"));
        }
        // It has a deadline of its own as soon as it is blocked anew.
        store.faults().set_renewal_blocked("blocked", true);
        assert_not_renewed(&timeout(TTL, guard.lost()).await.unwrap());
        other.check().unwrap();
    }
}

/// Wherever the renewals are blocked and unblocked, with an answer lost at either moment: as long as the holder believes
/// that it holds, the store does not grant the lock to the next.
#[tokio::test(start_paused = true)]
async fn a_lock_is_not_granted_while_its_holder_believes_to_hold_it() {
    const TICK: Duration = Duration::from_millis(100);
    let times = (0..12_u32).flat_map(|block| (1..16_u32).map(move |length| (block, block + length)));
    let (mut kept, mut lost) = (0, 0);
    for (number, (block, unblock)) in times.enumerate() {
        let store = TestStore::new();
        let (guard, other) = two_holds(&store.client()).await;
        let next = tokio::spawn(store.client().lock("blocked").ttl(LONG).acquire());
        let begun = Instant::now();
        let (block, unblock) = (TTL * block / 12, TTL * unblock / 12);
        let mut was_lost = false;
        for tick in 0..300 {
            let at = TICK * tick;
            for (moment, is_blocked, bit) in [(block, true, 1), (unblock, false, 2)] {
                if (at..at + TICK).contains(&moment) {
                    store.faults().set_renewal_blocked("blocked", is_blocked);
                    store.faults().lose_answers(u32::from(number & bit != 0));
                }
            }
            sleep_until(begun + at + TICK).await;
            let is_held = guard.is_held();
            assert!(!(was_lost && is_held), "lost and held again");
            assert!(!(next.is_finished() && is_held), "blocked from {block:?} to {unblock:?}: two hold at once");
            was_lost = !is_held;
        }
        other.check().unwrap();
        *if was_lost { &mut lost } else { &mut kept } += 1;
        assert!(was_lost || unblock - block < TTL, "blocked for more than a TTL, and held");
        assert!(!was_lost || unblock - block > TTL / 4, "blocked for {:?} only, and lost", unblock - block);
    }
    assert!(kept > 20 && lost > 20, "{kept} kept, {lost} lost: too few of either");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_of_another_client_gets_the_lock_only_after_the_holder_was_told() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let (guard, _other) = two_holds(&store.client()).await;
        let waiter = tokio::spawn(store.client().lock("blocked").ttl(LONG).acquire());
        yield_now().await;
        store.faults().set_renewal_blocked("blocked", true);
        let begun = Instant::now();
        // It is not released, so that the store has to let it lapse.
        let told = tokio::spawn(async move {
            let lost = guard.lost().await;
            (guard, lost, begun.elapsed())
        });
        let next = waiter.await.unwrap().unwrap();
        let granted = begun.elapsed();
        assert!(told.is_finished());
        let (guard, lost, told) = told.await.unwrap();
        assert_not_renewed(&lost);
        assert!(told < granted && granted < TTL + seconds(1.0), "told after {told:?}, granted after {granted:?}");
        assert!(guard.fence() < next.fence());
        guard.release().await.unwrap_err();
        next.check().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_entry_is_not_renewed_is_dropped_before_another_may_hold() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let body = tokio::spawn(blocked(&store.client()).run(|_| pending::<()>()));
        yield_now().await;
        let waiter = tokio::spawn(store.client().lock("blocked").ttl(LONG).acquire());
        yield_now().await;
        store.faults().set_renewal_blocked("blocked", true);
        let begun = Instant::now();
        let next = waiter.await.unwrap().unwrap();
        assert!(body.is_finished(), "two at once");
        assert_not_renewed(&body.await.unwrap().unwrap_err());
        assert!(begun.elapsed() < TTL, "after {:?}", begun.elapsed());
        next.check().unwrap();
    }
}

/// Another client holds the lock, and `ours` waits behind it in a session that was opened just now.
async fn waiting_behind(store: &TestStore, ours: &Locks) -> (Guard, tokio::task::JoinHandle<Result<Guard, Error>>) {
    let theirs = store.client().lock("blocked").name("theirs").ttl(LONG).acquire().await.unwrap();
    let waiter = tokio::spawn(blocked(ours).acquire());
    yield_now().await;
    assert!(!waiter.is_finished());
    (theirs, waiter)
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_begins_while_its_entry_is_not_renewed_ends_at_the_deadline_of_the_entry() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let ours = store.client();
        let (theirs, waiter) = waiting_behind(&store, &ours).await;
        let begun = Instant::now();
        store.faults().set_renewal_blocked("blocked", true);
        sleep(TTL * 8 / 10).await;
        theirs.release().await.unwrap();
        let guard = waiter.await.unwrap().unwrap();
        guard.check().unwrap();
        let lost = guard.lost().await;
        assert!(begun.elapsed() > TTL * 9 / 10 && begun.elapsed() < TTL, "lost after {:?}", begun.elapsed());
        assert_not_renewed(&lost);
        assert_eq!(holder(&store).await.as_deref(), Some("ours"), "the store was first");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_begins_while_its_entry_is_not_renewed_goes_on_if_it_is_renewed_in_time() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let ours = store.client();
        let (theirs, waiter) = waiting_behind(&store, &ours).await;
        store.faults().set_renewal_blocked("blocked", true);
        sleep(TTL / 2).await;
        theirs.release().await.unwrap();
        let guard = waiter.await.unwrap().unwrap();
        store.faults().set_renewal_blocked("blocked", false);
        sleep(20 * TTL).await;
        guard.check().unwrap();
        assert_eq!(holder(&store).await.as_deref(), Some("ours"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_entry_lapsed_enters_again() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let ours = store.client();
        let (theirs, waiter) = waiting_behind(&store, &ours).await;
        let other = ours.lock("other").ttl(TTL).acquire().await.unwrap();
        store.faults().set_renewal_blocked("blocked", true);
        sleep(3 * TTL).await;
        store.faults().set_renewal_blocked("blocked", false);
        sleep(TTL).await;
        theirs.release().await.unwrap();
        let guard = timeout(seconds(1.0), waiter).await.unwrap().unwrap().unwrap();
        sleep(20 * TTL).await;
        guard.check().unwrap();
        other.check().unwrap();
        assert_eq!(holder(&store).await.as_deref(), Some("ours"));
    }
}

/// The entry stays in the store when a lock is handed off, and so does its deadline.
#[tokio::test(start_paused = true)]
async fn a_hold_that_was_handed_off_ends_at_the_deadline_of_its_entry() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let ours = store.client();
        let (theirs, first) = waiting_behind(&store, &ours).await;
        let second = tokio::spawn(blocked(&ours).acquire());
        yield_now().await;
        let begun = Instant::now();
        store.faults().set_renewal_blocked("blocked", true);
        sleep(TTL * 8 / 10).await;
        theirs.release().await.unwrap();
        let first = first.await.unwrap().unwrap();
        let fence = first.fence();
        first.release().await.unwrap();
        let second = second.await.unwrap().unwrap();
        assert_eq!(second.fence().number(), fence.number(), "it was not handed off");
        let lost = timeout(TTL - begun.elapsed(), second.lost()).await;
        assert_not_renewed(&lost.expect("it is held although its entry has lapsed"));
        assert_eq!(holder(&store).await.as_deref(), Some("ours"), "the store was first");
    }
}

/// The process is paused over the deadline of one entry, and continued before that of the session.
#[tokio::test(start_paused = true)]
async fn a_pause_over_the_deadline_of_an_entry_ends_its_hold_and_no_other() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let (guard, other) = two_holds(&store.client()).await;
        store.faults().set_renewal_blocked("blocked", true);
        // The first renewal has been sent, after 30 % of the TTL or later; the session lasts for 94 % of it from then on.
        sleep(TTL * 35 / 100).await;
        advance(TTL * 87 / 100).await;
        // Every task runs, the overdue renewal first: by now the store has no such entry to leave out.
        sleep(Duration::from_millis(10)).await;
        assert_not_renewed(&guard.check().expect_err("it is held although its entry has lapsed"));
        other.check().unwrap();
    }
}

/// The caller is not polled for a while, in which the store grants it the lock and lets the entry lapse again.
#[tokio::test(start_paused = true)]
async fn a_grant_is_not_taken_up_after_its_entry_has_lapsed() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let ours = store.client();
        let other = ours.lock("other").ttl(TTL).acquire().await.unwrap();
        let theirs = store.client().lock("blocked").ttl(LONG).acquire().await.unwrap();
        let mut waiting = Box::pin(blocked(&ours).acquire());
        timeout(TTL / 10, &mut waiting).await.unwrap_err();
        store.faults().set_renewal_blocked("blocked", true);
        sleep(TTL * 4 / 10).await;
        theirs.release().await.unwrap();
        // The entry lapses within this time, and another renewal is sent.
        sleep(TTL * 15 / 10).await;
        let next = store.client().lock("blocked").name("next").ttl(LONG).try_acquire().await.unwrap();
        let next = next.expect("the entry has not lapsed");
        let early = timeout(seconds(0.5), &mut waiting).await;
        assert!(!early.is_ok_and(|guard| guard.unwrap().is_held()), "two hold at once");
        next.check().unwrap();
        other.check().unwrap();
    }
}

/// It has begun while the renewal was under way, and the next renewal is a third of a TTL away.
#[tokio::test(start_paused = true)]
async fn a_hold_that_a_late_renewal_has_covered_hears_at_once_that_its_entry_is_gone() {
    for _ in 0..REPEATS {
        let store = TestStore::new();
        let locks = store.client();
        let other = locks.lock("other").ttl(TTL).acquire().await.unwrap();
        store.faults().set_silent(true);
        let acquiring = tokio::spawn(blocked(&locks).acquire());
        sleep(TTL / 2).await;
        store.faults().set_silent(false);
        let guard = acquiring.await.unwrap().unwrap();
        assert!(store.client().force_release("blocked").await.unwrap());
        let lost = timeout(TTL / 10, guard.lost()).await.expect("the hold goes on although its entry is gone");
        assert_eq!(lost.kind(), ErrorKind::Lost, "{lost}");
        other.check().unwrap();
    }
}
