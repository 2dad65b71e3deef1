//! Schedules drawn from seeds.

use locks_models::redis::Redis;
use locks_models::{Search, explore};

/// Some seconds of them in a debug build; `make explore STORE=redis` plays more.
const SCHEDULES: u64 = 200;

#[test]
fn what_must_hold_holds_in_every_schedule() {
    let exploration = explore::<Redis>(0..SCHEDULES, &Search { jobs: 2, ..Search::default() });
    assert!(
        exploration.is_clean(),
        "{exploration}\n`make explore STORE=redis SHOW=seed` shows every message of a schedule"
    );
}

#[test]
fn a_seed_repeats_itself() {
    let exploration = explore::<Redis>(0..30, &Search { jobs: 2, twice: true, ..Search::default() });
    assert!(exploration.unrepeatable.is_empty(), "{exploration}");
}
