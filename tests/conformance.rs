//! The conformance suite on every store: `memory::…`, `file::…`, and `etcd-3.5::…`, `redis-7.0::…` and so on for each server
//! that is installed.

#![expect(clippy::unwrap_used, reason = "a trial that cannot set its stage has failed")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use distributed_locks::store::Store as LockStore;
use libtest_mimic::{Arguments, Trial};
use locks_runtime::store::World;
use locks_runtime::stores::file::FileStore;
use locks_runtime::stores::memory::Memory;
use locks_runtime::stores::{etcd, postgres, redis, zookeeper};
use locks_runtime::testing::conformance;
use support::cases::{self, Case, Program, Store};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut trials = on_servers(|store| on_etcd(&store.etcd().endpoint(), store.key("namespace/")), on_etcd);
    trials
        .extend(on_servers(|store| on_redis(&store.redis().address().to_string(), store.key("namespace/")), on_redis));
    trials.extend(on_servers(|store| on_zookeeper(&store.zookeeper().endpoint(), store.key("root")), on_zookeeper));
    trials.extend(on_servers(|store| on_postgres(&store.postgres().endpoint(), store.key("namespace/")), on_postgres));
    trials.extend(on_memory());
    trials.extend(on_files());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A way to open one store again and again.
type Open = Box<dyn Fn() -> Arc<dyn LockStore> + Send + Sync>;

/// On every version of a store: `open` at the server of a case, `at` to ask for its capabilities, at none.
fn on_servers<P: Program>(
    open: impl Fn(&Store<P>) -> Open + Clone + Send + Sync + 'static,
    at: fn(&str, String) -> Open,
) -> Vec<Trial> {
    let capabilities = at("localhost:1", String::new())().capabilities();
    let on_stage = conformance::cases(capabilities).into_iter().map(|case| {
        let (case, open) = (Arc::new(case), open.clone());
        Case::new(case.name(), move |store: Store<P>| {
            let (case, open) = (Arc::clone(&case), open(&store));
            async move { case.run(open).await }
        })
    });
    cases::trials(on_stage.collect())
}

fn on_etcd(server: &str, namespace: String) -> Open {
    let endpoints = vec![server.to_owned()];
    let config = etcd::Config { endpoints, user: None, namespace, connect_timeout: CONNECT_TIMEOUT, tls: None };
    Box::new(move || Arc::new(etcd::Etcd::new(config.clone()).unwrap()))
}

fn on_redis(server: &str, namespace: String) -> Open {
    let (host, port) = server.rsplit_once(':').unwrap();
    let config = redis::Config {
        host: host.to_owned(),
        port: port.parse().unwrap(),
        user: None,
        database: 0,
        namespace,
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Box::new(move || Arc::new(redis::Redis::new(config.clone()).unwrap()))
}

fn on_zookeeper(server: &str, root: String) -> Open {
    let config = zookeeper::Config {
        endpoints: vec![server.to_owned()],
        user: None,
        root,
        layout: zookeeper::Layout::default(),
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Box::new(move || Arc::new(zookeeper::ZooKeeper::new(config.clone()).unwrap()))
}

fn on_postgres(server: &str, namespace: String) -> Open {
    let config = postgres::Config {
        hosts: vec![server.to_owned()],
        user: "app".to_owned(),
        password: None,
        database: "locks".to_owned(),
        table: "distributed_locks".to_owned(),
        layout: postgres::Layout::Own,
        namespace,
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Box::new(move || Arc::new(postgres::Postgres::new(config.clone()).unwrap()))
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
fn run(case: &conformance::Case, open: impl Fn() -> Arc<dyn LockStore> + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case.run(open));
    // What a case that is over has spawned needs no end.
    runtime.shutdown_background();
}
