//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::kubernetes::{Kubernetes, Setup};
use locks_models::{Act, Call, Plan, assert_clean, assert_held_at_least};
use std::time::Duration;

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Kubernetes>(&Setup::default());
}

/// By the clocks of the two servers the hold was over long ago.
#[test]
fn a_try_takes_no_lock_because_a_server_is_ahead() {
    let holder = Call { body: Duration::from_secs(20), ..Call::new(0, 0) };
    let tries = (1..9).map(|id| Call { act: Act::Try, after: Duration::from_secs(2), ..Call::new(1, id) });
    let setup = Setup { second: Some(600_000), ..Setup::default() };
    assert_clean::<Kubernetes>(&Plan::of(setup, vec![vec![holder], tries.collect()]));
}
