//! The conformance suite on every store: `memory::…`, `file::…`, and `etcd-3.5::…` or `postgres-15::…` for each server that
//! is installed.

#![expect(clippy::unwrap_used, reason = "a trial that cannot set its stage has failed")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use locks_runtime::backend::Backend;
use locks_runtime::backend::etcd::{Config, Etcd};
use locks_runtime::backend::file::FileStore;
use locks_runtime::backend::memory::Memory;
use locks_runtime::backend::postgres::{self, Postgres};
use locks_runtime::clock::Clock;
use locks_runtime::testing::conformance;
use support::cases::{self, Case};
use support::postgres::Binary;

fn main() -> ExitCode {
    let mut trials = cases::trials(on_etcd());
    trials.extend(cases::trials(on_postgres()));
    trials.extend(on_memory());
    trials.extend(on_files());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn on_memory() -> impl Iterator<Item = Trial> {
    let capabilities = Arc::new(Memory::new(Clock::Boot)).capabilities();
    conformance::cases(capabilities).into_iter().map(|case| {
        Trial::test(format!("memory::{}", case.name()), move || {
            let store = Memory::new(Clock::Boot);
            run(&case, move || Arc::new(Arc::clone(&store)));
            Ok(())
        })
    })
}

fn on_files() -> impl Iterator<Item = Trial> {
    let capabilities = FileStore::new("/nowhere".into(), Clock::Boot).unwrap().capabilities();
    conformance::cases(capabilities).into_iter().map(|case| {
        Trial::test(format!("file::{}", case.name()), move || {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_owned();
            run(&case, move || FileStore::new(path.clone(), Clock::Boot).unwrap());
            Ok(())
        })
    })
}

fn on_etcd() -> Vec<Case> {
    let on_stage = conformance::cases(etcd("localhost:2379", "").capabilities()).into_iter().map(|case| {
        let case = Arc::new(case);
        Case::new(case.name(), move |store| {
            let case = Arc::clone(&case);
            async move {
                let (server, namespace) = (store.etcd().endpoint(), store.key("namespace/"));
                case.run(move || etcd(&server, &namespace)).await;
            }
        })
    });
    on_stage.collect()
}

fn etcd(server: &str, namespace: &str) -> Arc<dyn Backend> {
    let config = Config {
        endpoints: vec![server.to_owned()],
        user: None,
        namespace: namespace.to_owned(),
        connect_timeout: Duration::from_secs(5),
        tls: None,
    };
    Arc::new(Etcd::new(config).unwrap())
}

fn on_postgres() -> Vec<Case<Binary>> {
    let on_stage = conformance::cases(postgres("localhost:5432", "").capabilities()).into_iter().map(|case| {
        let case = Arc::new(case);
        Case::new(case.name(), move |store: cases::Store<Binary>| {
            let case = Arc::clone(&case);
            async move {
                let (server, namespace) = (store.postgres().endpoint(), store.key("namespace/"));
                case.run(move || postgres(&server, &namespace)).await;
            }
        })
    });
    on_stage.collect()
}

fn postgres(server: &str, namespace: &str) -> Arc<dyn Backend> {
    let config = postgres::Config {
        hosts: vec![server.to_owned()],
        user: "app".to_owned(),
        password: None,
        database: "locks".to_owned(),
        table: "distributed_locks".to_owned(),
        layout: postgres::Layout::Own,
        namespace: namespace.to_owned(),
        connect_timeout: Duration::from_secs(5),
        tls: None,
    };
    Arc::new(Postgres::new(config).unwrap())
}

/// Runs a case on a store without a server.
fn run(case: &conformance::Case, open: impl Fn() -> Arc<dyn Backend> + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case.run(open));
    // What a case that is over has spawned needs no end.
    runtime.shutdown_background();
}
