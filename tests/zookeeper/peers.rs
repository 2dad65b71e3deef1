//! Other clients of ZooKeeper: they exclude us and we exclude them.

use crate::{Case, Fixture};
use std::path::Path;
use std::process::Command;
use support::cases;
use support::child::Child;
use support::scenarios::peers::{ForOneLock, Release, Waits, each_excludes_the_other};
use support::scenarios::{client, connect, granted, queued};
use support::zookeeper::{create, source};

mod driven;
mod read_write;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        curator_excludes_us_and_we_curator,
        kazoo_excludes_us_and_we_kazoo,
        kazoo_counts_curators_names_if_it_is_set_to,
        the_command_lines_node_is_in_the_queue,
    ];
    cases.extend(driven::cases());
    cases.extend(read_write::cases());
    cases
}

/// Curator's `InterProcessMutex`.
fn curator(fixture: &Fixture, key: &str) -> ForOneLock {
    let libraries = ["curator-recipes", "curator-framework", "curator-client", "guava", "failureaccess"];
    let mut command = fixture.program().java(&libraries);
    command.arg(source("Curator.java")).args([&fixture.server().endpoint(), key]);
    ForOneLock { process: Child::start(&mut command), release: Some(Release::EndOfInput) }
}

/// Kazoo's `Lock`; it also counts names that match `pattern`.
fn kazoo(fixture: &Fixture, key: &str, pattern: Option<&str>) -> ForOneLock {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/kazoo");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", library).arg(source("kazoo_lock.py")).args([&fixture.server().endpoint(), key]);
    ForOneLock { process: Child::start(command.args(pattern)), release: Some(Release::EndOfInput) }
}

async fn curator_excludes_us_and_we_curator(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || curator(&fixture, &key)).await;
}

async fn kazoo_excludes_us_and_we_kazoo(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), connect(&fixture.server().url_with("layout=kazoo")));
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || kazoo(&fixture, &key, None)).await;
}

async fn kazoo_counts_curators_names_if_it_is_set_to(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || kazoo(&fixture, &key, Some("-lock-"))).await;
}

async fn the_command_lines_node_is_in_the_queue(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    // Makes the lock's node, which the server would remove while nothing is below it.
    let _stays = locks.lock(format!("{key}/stays")).acquire().await.unwrap();
    let mut command_line = server.open_command_line();
    create(&mut command_line, "-e -s", &format!("{key}/by-hand-"), "me").await;
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&locks, &key, 1).await;
    command_line.say("quit");
    granted(waiting).await.release().await.unwrap();
}
