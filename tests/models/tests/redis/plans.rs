//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::redis::{Fault, Redis, Setup};
use locks_models::{Act, Call, Event, Plan, play};
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
    let _alone = crate::alone();
    assert_clean(&with_faults(two(20), &[(700, Fault::Forge(seconds(15)))]));
}

/// The server forgets the queue, by hand or by an eviction, and the waiters' own entries are still there.
#[test]
fn a_waiter_whose_queue_was_deleted_is_served() {
    let _alone = crate::alone();
    assert_clean(&with_faults(two(8), &[(2000, Fault::DeleteQueue("k"))]));
}

/// However the call ends, and even if its process is killed then, the lock stays taken for its least time.
#[test]
fn hold_at_least_outlasts_every_ending() {
    let _alone = crate::alone();
    let first = |body, act| Call {
        body: Duration::from_millis(body),
        act,
        least: Some(seconds(12)),
        ttl: seconds(3),
        ..Call::new(0, 0)
    };
    let second = Call { after: seconds(1), ttl: seconds(3), ..Call::new(1, 1) };
    for (body, act) in [(0, Act::Run), (500, Act::Acquire), (4000, Act::Run)] {
        for killed_at in [None, Some(2000), Some(4500)] {
            let mut plan = Plan::of(Setup::default(), vec![vec![first(body, act)], vec![second.clone()]]);
            plan.events.extend(killed_at.map(|at| (Duration::from_millis(at), Event::Kill(0))));
            assert_clean(&plan);
            let lines = play::<Redis>(1, &plan, true).lines;
            let begins = |call: &str| -> f64 {
                let line = lines.iter().find(|line| line.contains(&format!("begin {call} "))).unwrap();
                line.split_whitespace().next().unwrap().parse().unwrap()
            };
            let apart = begins("c1.1") - begins("c0.0");
            assert!((12.0..14.0).contains(&apart), "{apart} s, {body} ms {act:?}, killed at {killed_at:?}");
        }
    }
}
