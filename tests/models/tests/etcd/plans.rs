//! Schedules by name: what a seed has found once.

use locks_models::etcd::{Cluster, Fault, Setup};
use locks_models::{Act, Call, Plan, assert_clean, assert_held_at_least};
use std::time::Duration;

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
    assert_clean::<Cluster>(&Plan::of(Setup::default(), vec![vec![call(0, 0)], vec![call(1, 500)]]));
}

/// The fence of one that waited is the revision of a deletion, which only its watch has reported. Then a snapshot is
/// restored, and a process that has seen nothing brings the store near that revision, but not up to it.
#[test]
fn a_fence_that_a_watch_reported_is_not_given_again() {
    let call = |process, id, after, body| Call {
        after: Duration::from_millis(after),
        act: Act::Acquire,
        body: Duration::from_millis(body),
        ttl: Duration::from_secs(3),
        wait: Some(Duration::from_secs(20)),
        ..Call::new(process, id)
    };
    let mut calls = vec![vec![call(0, 1, 500, 5000), call(0, 2, 6000, 0)], vec![call(1, 3, 0, 2000)]];
    // Those behind it: for each, one revision before the deletion.
    calls.extend(
        (2..8)
            .map(|process| vec![Call { dropped: Some(Duration::from_secs(3)), ..call(process, process + 2, 800, 0) }]),
    );
    // Three times two: from revision 3, which a session that is gone has left, to that before the deletion.
    calls.push(vec![call(8, 10, 4000, 100), call(8, 11, 0, 100), call(8, 12, 0, 100)]);
    let restored =
        Fault::Restored { after: Duration::from_millis(2000), downtime: Duration::from_millis(100), is_another: false };
    assert_clean::<Cluster>(&Plan::of(Setup::default(), calls).with_faults([(300, restored)]));
}

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Cluster>(&Setup::default());
}
