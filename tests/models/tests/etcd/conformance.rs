//! The conformance suite on the model: it must pass as a real server does.

#![expect(clippy::print_stdout, reason = "names the case that fails")]

use locks_models::etcd::{Cluster, Quirks, Setup};
use locks_models::{Model, Network};
use locks_runtime::store::World;
use locks_runtime::testing::conformance;

/// A case that waits on a thread of its own, for which simulated time does not.
const ON_A_THREAD: &str = "it_works_without_a_runtime_and_beyond_one";

#[test]
fn the_model_passes_the_conformance_suite() {
    run(&Setup::default(), 0);
}

#[test]
fn the_model_of_3_7_with_users_passes_the_conformance_suite() {
    let quirks = Quirks { keys_only_without_lease: true, renewal_needs_rights: true, ..Quirks::default() };
    run(&Setup { quirks, has_users: true, tokens_have_revision: true }, 1000);
}

/// Each case on a cluster of its own, in simulated time, with random numbers that no other has.
fn run(setup: &Setup, seed: u64) {
    let capabilities = in_simulation(async || {
        let cluster = Cluster::start(&Network::new(1, false), setup, 1000);
        cluster.store(0, World::here()).capabilities()
    });
    let cases = conformance::cases(capabilities);
    assert!(cases.len() > 50, "{} cases", cases.len());
    let skipped = cases.iter().filter(|case| case.name().ends_with(ON_A_THREAD)).count();
    assert_eq!(skipped, 1, "{ON_A_THREAD}");
    for (seed, case) in (seed..).zip(cases).filter(|(_, case)| !case.name().ends_with(ON_A_THREAD)) {
        println!("{}", case.name());
        in_simulation(async || {
            let cluster = Cluster::start(&Network::new(seed, false), setup, 1000);
            let world = World::simulated(seed);
            let stores = world.clone();
            case.run_in(&world, move || cluster.store(0, stores.clone())).await;
        });
    }
}

fn in_simulation<T>(act: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(act())
}
