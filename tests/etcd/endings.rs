//! However a body ends, nothing of it stays.

use crate::{client, keys};
use std::time::{Duration, Instant};
use support::cases::Store;
use support::child::{Child, binary};
use support::eventually;

const SOON: Duration = Duration::from_secs(10);

fn worker(arguments: &[&str]) -> Child {
    Child::start(binary("worker").args(arguments))
}

/// Runs the worker, whose `main` ends right after the call, to its end.
fn run_to_its_end(store: &Store, how: &str, key: &str) -> Child {
    let mut worker = worker(&["ends", how, &store.etcd().url(), key]);
    worker.expect_line("start", SOON);
    let status = worker.wait(SOON);
    assert_eq!(status.success(), how != "panic", "{status}");
    worker
}

pub(crate) async fn nothing_is_left_after_return(store: Store) {
    let key = store.key("return");
    run_to_its_end(&store, "return", &key);
    assert_eq!(keys(&store, &key), "");
}

pub(crate) async fn nothing_is_left_after_panic(store: Store) {
    let key = store.key("panic");
    let worker = run_to_its_end(&store, "panic", &key);
    assert!(worker.stderr().contains("panicked"), "{}", worker.stderr());
    assert_eq!(keys(&store, &key), "");
}

pub(crate) async fn nothing_is_left_after_drop(store: Store) {
    let key = store.key("drop");
    run_to_its_end(&store, "drop", &key);
    assert_eq!(keys(&store, &key), "");
}

pub(crate) async fn the_holder_shows_while_it_runs(store: Store) {
    let key = store.key("shows");
    let mut worker = worker(&["hold", "10", &store.etcd().url(), &key]);
    worker.expect_line("start", SOON);
    let shown = store.etcd().ctl(&["get", "--prefix", &key]);
    assert!(shown.contains("worker::hold") && shown.contains(&format!("\"pid\":{}", worker.id())), "{shown}");
    let line = client(&store).inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid), (1, worker.id()));
    assert!(line.holders[0].origin.contains("worker/main.rs:"), "{}", line.holders[0].origin);
}

pub(crate) async fn a_killed_holder_is_free_within_the_ttl_etcd_allows(store: Store) {
    let key = store.key("killed");
    let mut worker = worker(&["hold", "2", &store.etcd().url(), &key]);
    worker.expect_line("start", SOON);
    let locks = client(&store);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    worker.kill();
    let killed = Instant::now();
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    // etcd looks for expired leases every 500 ms, and revokes them through raft.
    assert!(killed.elapsed() < Duration::from_secs(4), "free {:?} after the kill", killed.elapsed());
}

pub(crate) async fn hold_at_least_survives_kill(store: Store) {
    let key = store.key("least");
    let begun = Instant::now();
    let mut worker = worker(&["least", &store.etcd().url(), &key]);
    worker.expect_line("start", SOON);
    worker.kill();
    let locks = client(&store);
    let guard = locks.lock(&key).wait(Duration::from_secs(15)).acquire().await.unwrap();
    let free = begun.elapsed();
    assert!(free >= Duration::from_secs(6) && free < Duration::from_secs(10), "free after {free:?}, at least 6 s");
    guard.release().await.unwrap();
    eventually(SOON, async || match keys(&store, &key) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}
