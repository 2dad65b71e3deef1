//! The conformance suite on the model: it must pass as a real server does.

use locks_models::postgres::{Postgres, Setup};
use locks_models::{Model, Network};
use locks_runtime::store::World;
use locks_runtime::testing::conformance;

#[test]
fn the_model_passes_the_conformance_suite() {
    let _alone = crate::alone();
    run(Setup::default());
}

#[test]
fn the_model_behind_a_pool_passes_the_conformance_suite() {
    let _alone = crate::alone();
    run(Setup { is_pooled: true, is_strict: true, has_no_table: true, ..Setup::default() });
}

/// Each case on a server of its own, in simulated time.
fn run(setup: Setup) {
    let capabilities = in_simulation(async || {
        let postgres = Postgres::start(&Network::new(1, false), &setup, 1000);
        postgres.store(0, World::here()).capabilities()
    });
    let cases = conformance::cases(capabilities);
    assert!(cases.len() > 40, "{} cases", cases.len());
    // It waits for a thread, for which simulated time does not wait.
    let needs_threads = |name: &str| name.contains("it_works_without_a_runtime_and_beyond_one");
    // Without notifications a removal shows at the next renewal, and this case has none.
    let needs_notifications = |name: &str| setup.is_pooled && name.contains("a_removal_is_reported");
    let is_possible = |name: &str| !needs_threads(name) && !needs_notifications(name);
    for case in cases.into_iter().filter(|case| is_possible(case.name())) {
        in_simulation(async || {
            let postgres = Postgres::start(&Network::new(1, false), &setup, 1000);
            let world = World::simulated(1);
            let stores = world.clone();
            case.run_in(&world, move || postgres.store(0, stores.clone())).await;
        });
    }
}

fn in_simulation<T>(act: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(act())
}
