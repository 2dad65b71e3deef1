//! Schedules drawn from seeds.

use locks_models::postgres::Postgres;
use locks_models::{Search, explore};

/// Some seconds of them in a debug build; `SCHEDULES=1000` and `make explore STORE=postgres` play more.
const SCHEDULES: u64 = 25;

#[test]
fn what_must_hold_holds_in_every_schedule() {
    let _alone = crate::alone();
    let schedules = std::env::var("SCHEDULES").ok().and_then(|number| number.parse().ok()).unwrap_or(SCHEDULES);
    let exploration = explore::<Postgres>(0..schedules, &Search { jobs: 2, ..Search::default() });
    println!("{exploration}");
    assert!(
        exploration.is_clean(),
        "{exploration}\n`make explore STORE=postgres SHOW=seed` shows every message of a schedule"
    );
}

#[test]
fn a_seed_repeats_itself() {
    let _alone = crate::alone();
    let exploration = explore::<Postgres>(0..10, &Search { jobs: 2, twice: true, ..Search::default() });
    assert!(exploration.unrepeatable.is_empty(), "{exploration}");
}
