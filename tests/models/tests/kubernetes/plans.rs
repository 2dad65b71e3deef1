//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::assert_held_at_least;
use locks_models::kubernetes::{Kubernetes, Setup};

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Kubernetes>(&Setup::default());
}
