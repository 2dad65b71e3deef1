//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::postgres::{Fault, Postgres, Rights, Setup};
use locks_models::{Call, Plan, assert_clean, assert_harms_that_lock_only, assert_held_at_least, play};
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A holder, a waiter, and these faults.
fn two(body: u64, faults: &[(u64, Fault)]) -> Plan<Setup, Fault> {
    Plan::of(Setup::default(), Call::holder_and_waiter(seconds(body))).with_faults(faults.iter().copied())
}

/// Whoever may connect to the database may send any notification.
#[test]
fn forged_notifications_decide_nothing() {
    assert_clean::<Postgres>(&two(20, &[(700, Fault::Forge(seconds(15)))]));
}

#[test]
fn an_open_transaction_on_a_row_harms_that_lock_only() {
    assert_harms_that_lock_only::<Postgres>(Fault::OpenTransaction);
}

/// Sessions that an administrator ends are opened anew, and nobody loses anything.
#[test]
fn terminated_sessions_end_no_hold() {
    let terminations: Vec<_> = (1..20).map(|second| (second * 900, Fault::Terminate)).collect();
    assert_clean::<Postgres>(&two(9, &terminations));
}

/// A release goes without its notification, and the waiter looks by itself.
#[test]
fn a_full_queue_of_notifications_stops_no_release() {
    let plan = two(3, &[(100, Fault::NoRoomForNotifications(seconds(60)))]);
    assert_clean::<Postgres>(&plan);
    let outcome = play::<Postgres>(1, &plan, true);
    let apart = outcome.begins("c1.1").unwrap() - outcome.begins("c0.0").unwrap();
    assert!((3.0..13.0).contains(&apart), "{apart} s");
}

/// Through a pool in transaction mode no notification arrives, and what is set on a session stays nobody's.
#[test]
fn a_pool_hands_off_without_notifications() {
    for is_strict in [false, true] {
        let setup = Setup { is_pooled: true, is_strict, ..Setup::default() };
        let plan = Plan { setup, ..two(3, &[]) };
        assert_clean::<Postgres>(&plan);
        let outcome = play::<Postgres>(1, &plan, true);
        let apart = outcome.begins("c1.1").unwrap() - outcome.begins("c0.0").unwrap();
        assert!((3.0..4.0).contains(&apart), "{apart} s");
    }
}

/// The table is dropped under a holder and a waiter, who find it again, made anew.
#[test]
fn a_dropped_table_is_made_anew() {
    assert_clean::<Postgres>(&two(6, &[(2000, Fault::Drop)]));
}

/// A server that takes no writes for a while may take them again: its clients wait, as for a table that is there.
#[test]
fn a_table_is_made_once_the_server_takes_writes_again() {
    let setup = Setup { has_no_table: true, ..Setup::default() };
    let plan = Plan { setup, ..two(2, &[(0, Fault::ReadOnly(seconds(3)))]) };
    assert_clean::<Postgres>(&plan);
    let outcome = play::<Postgres>(1, &plan, true);
    assert!(outcome.begins("c0.0").is_some_and(|at| at >= 3.0), "{:?}", outcome.lines);
}

/// What is revoked is reported, and the lock is free once it is granted again.
#[test]
fn a_right_that_was_revoked_leaves_nothing() {
    let rights = Rights { update: false, ..Rights::all() };
    assert_clean::<Postgres>(&two(2, &[(1000, Fault::Rights(rights, seconds(20)))]));
}

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Postgres>(&Setup::default());
}
