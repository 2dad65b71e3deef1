//! However a body ends, nothing of it stays.

use crate::{SOON, Store, client, in_line, nothing_is_left, standing};
use std::time::{Duration, Instant};
use support::child::{Child, binary};

fn worker(arguments: &[&str]) -> Child {
    Child::start(binary("worker").args(arguments))
}

/// Runs the worker, whose `main` ends right after the call, to its end.
fn run_to_its_end(store: &Store, how: &str, key: &str) -> Child {
    let mut worker = worker(&["ends", how, &store.postgres().url(), key]);
    worker.expect_line("start", SOON);
    let status = worker.wait(SOON);
    assert_eq!(status.success(), how != "panic", "{status}");
    worker
}

pub(crate) async fn nothing_is_left_after_return(store: Store) {
    let key = store.key("return");
    run_to_its_end(&store, "return", &key);
    assert_eq!(standing(&store.postgres(), &key), "0");
}

pub(crate) async fn nothing_is_left_after_panic(store: Store) {
    let key = store.key("panic");
    let worker = run_to_its_end(&store, "panic", &key);
    assert!(worker.stderr().contains("panicked"), "{}", worker.stderr());
    assert_eq!(standing(&store.postgres(), &key), "0");
}

pub(crate) async fn nothing_is_left_after_drop(store: Store) {
    let key = store.key("drop");
    run_to_its_end(&store, "drop", &key);
    assert_eq!(standing(&store.postgres(), &key), "0");
}

pub(crate) async fn the_holder_shows_while_it_runs(store: Store) {
    let key = store.key("shows");
    let mut worker = worker(&["hold", "10", &store.postgres().url(), &key]);
    worker.expect_line("start", SOON);
    let shown = store.postgres().psql(&format!("SELECT holder FROM distributed_locks WHERE name = '{key}'"));
    assert!(shown.contains("worker::hold") && shown.contains(&format!("\"pid\":{}", worker.id())), "{shown}");
    let line = client(&store).inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid), (1, worker.id()));
}

pub(crate) async fn a_killed_holder_is_free_after_the_ttl(store: Store) {
    let key = store.key("killed");
    let mut worker = worker(&["hold", "2", &store.postgres().url(), &key]);
    worker.expect_line("start", SOON);
    let locks = client(&store);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    worker.kill();
    let killed = Instant::now();
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    assert!(killed.elapsed() < Duration::from_secs(3), "free {:?} after the kill", killed.elapsed());
}

/// It is handed the lock if it dies before its turn, but only for what is left of its own TTL.
pub(crate) async fn a_killed_waiter_is_passed_over(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut dying = worker(&["hold", "2", &store.postgres().url(), &key]);
    in_line(&store.postgres(), &key, 1).await;
    let behind = tokio::spawn(client(&store).lock(&key).acquire());
    in_line(&store.postgres(), &key, 2).await;
    dying.kill();
    let killed = Instant::now();
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, behind).await.unwrap().unwrap().unwrap().release().await.unwrap();
    assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", killed.elapsed());
}

pub(crate) async fn hold_at_least_survives_kill(store: Store) {
    let key = store.key("least");
    let begun = Instant::now();
    let mut worker = worker(&["least", &store.postgres().url(), &key]);
    worker.expect_line("start", SOON);
    worker.kill();
    let guard = client(&store).lock(&key).wait(SOON).acquire().await.unwrap();
    let free = begun.elapsed();
    assert!(free >= Duration::from_secs(6) && free < Duration::from_secs(8), "free after {free:?}, at least 6 s");
    guard.release().await.unwrap();
    nothing_is_left(&store.postgres(), &key).await;
}
