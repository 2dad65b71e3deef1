//! The conformance suite on the model: it must pass as a real server does.

use locks_models::etcd::{Cluster, Quirks, Setup};
use locks_models::{Model, Network};
use locks_runtime::store::World;
use locks_runtime::testing::conformance;

#[test]
fn the_model_passes_the_conformance_suite() {
    run(&Setup::default());
}

#[test]
fn the_model_of_3_7_with_users_passes_the_conformance_suite() {
    let quirks = Quirks { keys_only_without_lease: true, renewal_needs_rights: true, ..Quirks::default() };
    run(&Setup { quirks, has_users: true, tokens_have_revision: true });
}

/// Each case on a cluster of its own, in simulated time.
fn run(setup: &Setup) {
    let capabilities = in_simulation(async || {
        let cluster = Cluster::start(&Network::new(1, false), setup, 1000);
        cluster.store(0, World::here()).capabilities()
    });
    let cases = conformance::cases(capabilities);
    assert!(cases.len() > 50, "{} cases", cases.len());
    for case in cases {
        in_simulation(async || {
            let cluster = Cluster::start(&Network::new(1, false), setup, 1000);
            let world = World::simulated(1);
            let stores = world.clone();
            case.run_in(&world, move || cluster.store(0, stores.clone())).await;
        });
    }
}

fn in_simulation<T>(act: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(act())
}
