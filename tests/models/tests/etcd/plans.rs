//! Schedules by name: what a seed has found once.

use locks_models::etcd::{Cluster, Setup};
use locks_models::{Call, Plan, play};
use std::time::Duration;

/// Plays the plan with some seeds, which decide about the network.
#[track_caller]
fn assert_clean(plan: &Plan<Setup, locks_models::etcd::Fault>) {
    for seed in 0..20 {
        let outcome = play::<Cluster>(seed, plan, false);
        if !outcome.findings.0.is_empty() {
            let lines = play::<Cluster>(seed, plan, true).lines.join("\n");
            panic!("{lines}\nseed {seed}:\n{}", outcome.findings);
        }
    }
}

/// A lease of `hold_at_least` alone would end under the body, which lasts longer.
#[test]
fn a_body_outlasts_its_hold_at_least() {
    let call = |process, after| Call {
        after: Duration::from_millis(after),
        body: Duration::from_millis(7500),
        ttl: Duration::from_secs(30),
        least: Some(Duration::from_secs(2)),
        ..Call::new(process, process)
    };
    assert_clean(&Plan::of(Setup::default(), vec![vec![call(0, 0)], vec![call(1, 500)]]));
}
