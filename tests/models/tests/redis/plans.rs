//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::redis::{Fault, Redis, Setup};
use locks_models::{Act, Call, Event, Plan, assert_clean, play};
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

/// However the call ends, and even if its process is killed then, the lock stays taken for its least time.
#[test]
fn hold_at_least_outlasts_every_ending() {
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
            assert_clean::<Redis>(&plan);
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
