//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::redis::{Fault, Redis, Setup};
use locks_models::{Call, Event, Plan, play};
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Plays the plan with some seeds, which decide about the network.
#[track_caller]
fn assert_clean(plan: &Plan<Setup, Fault>) {
    for seed in 0..20 {
        let outcome = play::<Redis>(seed, plan, false);
        if !outcome.findings.0.is_empty() {
            let lines = play::<Redis>(seed, plan, true).lines.join("\n");
            panic!("{lines}\nseed {seed}:\n{}", outcome.findings);
        }
    }
}

fn with_faults(calls: Vec<Vec<Call>>, faults: &[(u64, Fault)]) -> Plan<Setup, Fault> {
    let events = faults.iter().map(|(at, fault)| (Duration::from_millis(*at), Event::Server(*fault))).collect();
    Plan { events, ..Plan::of(Setup::default(), calls) }
}

/// A holder and a waiter.
fn two(body: u64) -> Vec<Vec<Call>> {
    let call = |process, after| Call {
        after: Duration::from_millis(after),
        body: seconds(body),
        ..Call::new(process, process)
    };
    vec![vec![call(0, 0)], vec![call(1, 500)]]
}

/// Whoever may publish may say anything.
#[test]
fn forged_messages_decide_nothing() {
    assert_clean(&with_faults(two(20), &[(700, Fault::Forge(seconds(15)))]));
}

/// The server forgets the queue, by hand or by an eviction, and the waiters' own entries are still there.
#[test]
fn a_waiter_whose_queue_was_deleted_is_served() {
    assert_clean(&with_faults(two(8), &[(2000, Fault::DeleteQueue("k"))]));
}
