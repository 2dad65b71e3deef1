//! The conformance suite on this store, and the store by its URL between two processes' worth of clients.

use distributed_locks::store::{Store, World};
use distributed_locks::testing::conformance;
use distributed_locks::{Error, ErrorKind, Locks};
use libtest_mimic::{Arguments, Trial};
use own_store::Sqlite;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    own_store::register().expect("nothing has registered `sqlite` before");
    let world = World::background().expect("a background thread");
    let capabilities = Sqlite::new("/nowhere", &world).capabilities();
    let cases = conformance::cases(capabilities).into_iter().map(|case| {
        let world = world.clone();
        Trial::test(case.name(), move || {
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("locks.db");
            // A database handle of its own for each client, as other processes would have.
            let open = move || Arc::new(Sqlite::new(&path, &world)) as Arc<dyn Store>;
            runtime().block_on(case.run(open));
            Ok(())
        })
    });
    let by_url = [
        Trial::test("by_url::two_clients_exclude_each_other", || Ok(runtime().block_on(two_clients())?)),
        Trial::test("by_url::mistakes_are_named", || {
            for (url, what) in [("sqlite:", "whole path"), ("sqlite:///x?tll=9s", "no parameter `tll`")] {
                let error = Locks::connect(url).expect_err(url);
                assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{error}");
            }
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), cases.chain(by_url).collect()).exit_code()
}

async fn two_clients() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}/locks.db?ttl=3s&label.team=ops", directory.path().display());
    let (ours, theirs) = (Locks::connect(&url)?, Locks::connect(&url)?);
    let guard = ours.lock("job").acquire().await?;
    let error = theirs.lock("job").wait(Duration::ZERO).acquire().await.expect_err("it is held");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().expect("a record").labels["team"], "ops");
    let (first, waiting) = (guard.fence(), theirs.lock("job").acquire());
    let (released, next) = tokio::join!(guard.release(), waiting);
    released?;
    assert!(next?.fence() > first);
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
