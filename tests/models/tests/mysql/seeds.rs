//! Schedules drawn from seeds.

use locks_models::mysql::Mysql;
use locks_models::{assert_repeatable, assert_schedules_clean};

/// Some seconds of them in a debug build; `SCHEDULES=1000` and `make explore STORE=mysql` play more.
#[test]
fn what_must_hold_holds_in_every_schedule() {
    assert_schedules_clean::<Mysql>(25);
}

#[test]
fn a_seed_repeats_itself() {
    assert_repeatable::<Mysql>(10);
}
