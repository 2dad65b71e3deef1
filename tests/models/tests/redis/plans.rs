//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::redis::{Fault, Redis, Setup};
use locks_models::{Call, Plan, assert_clean, assert_held_at_least};
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A holder, a waiter, and a fault.
fn two(body: u64, fault: (u64, Fault)) -> Plan<Setup, Fault> {
    Plan::of(Setup::default(), Call::holder_and_waiter(seconds(body))).with_faults([fault])
}

/// Whoever may publish may say anything.
#[test]
fn forged_messages_decide_nothing() {
    assert_clean::<Redis>(&two(20, (700, Fault::Forge(seconds(15)))));
}

/// The server forgets the queue, by hand or by an eviction, and the waiters' own entries are still there.
#[test]
fn a_waiter_whose_queue_was_deleted_is_served() {
    assert_clean::<Redis>(&two(8, (2000, Fault::DeleteQueue("k"))));
}

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Redis>(&Setup::default());
}
