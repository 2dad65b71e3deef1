//! Other clients of ZooKeeper: they exclude us and we exclude them.

use crate::{Store, cli, client, create};
use distributed_locks::{ErrorKind, Locks};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::child::Child;
use support::eventually;
use support::zookeeper::source;

const SOON: Duration = Duration::from_secs(20);

/// Curator's `InterProcessMutex`, which says `holding` and gives the lock back at the end of its input.
fn curator(store: &Store, key: &str) -> Child {
    let libraries = ["curator-recipes", "curator-framework", "curator-client", "guava", "failureaccess"];
    let mut command = store.program().java(&libraries);
    Child::start(command.arg(source("Curator.java")).args([&store.zookeeper().endpoint(), key]))
}

/// Kazoo's `Lock`, which does the same; it also counts names that match `pattern`.
fn kazoo(store: &Store, key: &str, pattern: Option<&str>) -> Child {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/kazoo");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", library).arg(source("kazoo_lock.py")).args([&store.zookeeper().endpoint(), key]);
    Child::start(command.args(pattern))
}

/// Waits until that many wait behind the holder.
async fn stands_in_line(locks: &Locks, key: &str, waiters: usize) {
    eventually(SOON, async || {
        let line = locks.inspect(key).await.unwrap();
        match line.as_ref().map_or(0, |line| line.waiters.len()) {
            seen if seen == waiters => Ok(()),
            _ => Err(line),
        }
    })
    .await;
}

/// Both directions, twice; `begin` starts the other client, which takes the lock when it can.
async fn each_excludes_the_other(locks: &Locks, key: &str, begin: impl Fn() -> Child) {
    let mut last = None;
    for _ in 0..2 {
        let mut other = begin();
        other.expect_line("holding", SOON);
        let busy = locks.lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert!(!busy.holder().unwrap().is_known(), "{busy}");
        let late = locks.lock(key).wait(Duration::from_millis(300)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let waiting = tokio::spawn(locks.lock(key).acquire());
        stands_in_line(locks, key, 1).await;
        let mut next = begin();
        stands_in_line(locks, key, 2).await;
        assert!(!waiting.is_finished(), "two hold `{key}`");
        other.hang_up();
        let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
        assert!(last < Some(guard.fence()));
        last = Some(guard.fence());
        assert!(next.is_silent_about("holding", Duration::from_millis(300)), "two hold `{key}`");
        guard.release().await.unwrap();
        next.expect_line("holding", SOON);
        next.hang_up();
        assert!(other.wait(SOON).success() && next.wait(SOON).success());
    }
}

pub(crate) async fn curator_excludes_us_and_we_curator(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    each_excludes_the_other(&locks, &key, || curator(&store, &key)).await;
}

pub(crate) async fn kazoo_excludes_us_and_we_kazoo(store: Store) {
    let (key, locks) = (store.key("k"), format!("{}?layout=kazoo", store.zookeeper().url()));
    each_excludes_the_other(&Locks::connect(locks).unwrap(), &key, || kazoo(&store, &key, None)).await;
}

pub(crate) async fn kazoo_counts_curators_names_if_it_is_told_to(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    each_excludes_the_other(&locks, &key, || kazoo(&store, &key, Some("-lock-"))).await;
}

pub(crate) async fn the_command_lines_node_is_in_line(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    let mut cli = cli(&store, &server);
    create(&mut cli, "-e -s", &format!("{key}/by-hand-"), "me").await;
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    stands_in_line(&locks, &key, 1).await;
    cli.say("quit");
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
}
