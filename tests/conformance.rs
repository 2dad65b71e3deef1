//! The conformance suite on every store: `memory::…`, `file::…`, and `etcd-3.5::…`, `redis-7.0::…` and so on for each server
//! that is installed.

#![expect(clippy::unwrap_used, reason = "a trial whose preparation fails has failed")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use distributed_locks::store::Store;
use libtest_mimic::Trial;
use locks_runtime::store::World;
use locks_runtime::stores::file::FileStore;
use locks_runtime::stores::memory::Memory;
use locks_runtime::stores::redis::Deployment;
use locks_runtime::testing::conformance;
use support::cases::{self, Case, Fixture, Program};
use support::stores::{etcd_at, postgres_at, redis_at, redis_in, zookeeper_at};
use support::{etcd, postgres, redis, zookeeper};

fn main() -> ExitCode {
    let mut trials = on_servers::<etcd::Binary>(etcd_at, "namespace/");
    trials.extend(on_servers::<redis::Binary>(redis_at, "namespace/"));
    trials.extend(on_cluster());
    trials.extend(on_sentinels());
    trials.extend(on_servers::<zookeeper::Installed>(zookeeper_at, "root"));
    trials.extend(on_servers::<postgres::Binary>(postgres_at, "namespace/"));
    trials.extend(on_memory());
    trials.extend(on_files());
    cases::run_trials(trials)
}

/// On every version of a store, which `at` makes of an endpoint and a namespace.
fn on_servers<P: Program>(at: fn(&str, String) -> Arc<dyn Store>, namespace: &'static str) -> Vec<Trial> {
    // Without a server.
    let capabilities = at("localhost:1", String::new()).capabilities();
    let cases = conformance::cases(capabilities).into_iter().map(|case| {
        let case = Arc::new(case);
        Case::new(case.name(), move |fixture: Fixture<P>| {
            let (case, endpoint, namespace) = (case.clone(), fixture.server().endpoint(), fixture.key(namespace));
            async move { case.run(move || at(&endpoint, namespace.clone())).await }
        })
    });
    cases::trials(cases.collect())
}

/// A cluster keeps locks that are acquired at one moment in one slot: those cases have a hash tag in their namespace, and the
/// others are in all slots.
fn on_cluster() -> Vec<Trial> {
    let at = |endpoint: &str, namespace| redis_in(Deployment::Cluster, endpoint, namespace);
    let capabilities = at("localhost:1", String::new()).capabilities();
    let mut of_one = capabilities;
    of_one.multi_key = false;
    let in_many_slots: BTreeSet<String> = conformance::cases(of_one).iter().map(|case| case.name().into()).collect();
    let cases = conformance::cases(capabilities).into_iter().map(|case| {
        let (case, is_of_many) = (Arc::new(case), |name: &str| in_many_slots.contains(name));
        let tag = if is_of_many(case.name()) { "" } else { "{tag}" };
        Case::new(case.name(), move |fixture: Fixture<redis::Clustered>| {
            let (case, endpoint) = (case.clone(), fixture.server().endpoint());
            let namespace = format!("{tag}{}", fixture.key("namespace/"));
            async move { case.run(move || at(&endpoint, namespace.clone())).await }
        })
    });
    cases::trials(cases.collect())
}

fn on_sentinels() -> Vec<Trial> {
    let at = |endpoints: &str, namespace| {
        let deployment = Deployment::Sentinel { primary: redis::PRIMARY.to_owned(), credentials: None };
        redis_in(deployment, endpoints, namespace)
    };
    let capabilities = at("localhost:1", String::new()).capabilities();
    let cases = conformance::cases(capabilities).into_iter().map(|case| {
        let case = Arc::new(case);
        Case::new(case.name(), move |fixture: Fixture<redis::Watched>| {
            let sentinels: Vec<String> =
                fixture.server().sentinels().iter().map(|sentinel| sentinel.endpoint()).collect();
            let (case, endpoints, namespace) = (case.clone(), sentinels.join(","), fixture.key("namespace/"));
            async move { case.run(move || at(&endpoints, namespace.clone())).await }
        })
    });
    cases::trials(cases.collect())
}

fn on_memory() -> impl Iterator<Item = Trial> {
    let capabilities = Memory::new(&world()).capabilities();
    conformance::cases(capabilities).into_iter().map(|case| {
        Trial::test(format!("memory::{}", case.name()), move || {
            let store = Memory::new(&world());
            run(&case, move || Arc::new(store.clone()));
            Ok(())
        })
    })
}

fn on_files() -> impl Iterator<Item = Trial> {
    let capabilities = FileStore::new("/nowhere".into(), &world()).unwrap().capabilities();
    conformance::cases(capabilities).into_iter().map(|case| {
        Trial::test(format!("file::{}", case.name()), move || {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_owned();
            run(&case, move || Arc::new(FileStore::new(path.clone(), &world()).unwrap()));
            Ok(())
        })
    })
}

fn world() -> World {
    World::background().unwrap()
}

/// Runs a case on a store without a server.
fn run(case: &conformance::Case, open: impl Fn() -> Arc<dyn Store> + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case.run(open));
    // What a case that is over has spawned needs no end.
    runtime.shutdown_background();
}
