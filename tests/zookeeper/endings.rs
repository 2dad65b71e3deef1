//! However a body ends, nothing of it stays.

use crate::{Store, client, nothing_is_left};
use std::time::{Duration, Instant};
use support::child::{Child, binary};
use support::eventually;

const SOON: Duration = Duration::from_secs(10);

fn worker(arguments: &[&str]) -> Child {
    Child::start(binary("worker").args(arguments))
}

/// Runs the worker, whose `main` ends right after the call, to its end: then nothing of it may be left.
fn run_to_its_end(store: &Store, how: &str) -> Child {
    let (server, key) = (store.zookeeper(), store.key(how));
    let mut worker = worker(&["ends", how, &server.url(), &key]);
    worker.expect_line("start", SOON);
    let status = worker.wait(SOON);
    assert_eq!(status.success(), how != "panic", "{status}");
    assert_eq!(server.ephemerals(&key), [""; 0]);
    worker
}

pub(crate) async fn nothing_is_left_after_return(store: Store) {
    run_to_its_end(&store, "return");
}

pub(crate) async fn nothing_is_left_after_panic(store: Store) {
    let worker = run_to_its_end(&store, "panic");
    assert!(worker.stderr().contains("panicked"), "{}", worker.stderr());
}

pub(crate) async fn nothing_is_left_after_drop(store: Store) {
    run_to_its_end(&store, "drop");
}

pub(crate) async fn a_killed_holder_is_free_after_the_session(store: Store) {
    let key = store.key("killed");
    let mut worker = worker(&["hold", "2", &store.zookeeper().url(), &key]);
    worker.expect_line("start", SOON);
    let locks = client(&store);
    let line = locks.inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid), (1, worker.id()));
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    worker.kill();
    let killed = Instant::now();
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    // The TTL, a second, and what is left of a tick; a ping may have been on its way.
    let free = killed.elapsed();
    assert!(free < Duration::from_millis(4500), "free {free:?} after the kill");
}

pub(crate) async fn hold_at_least_survives_kill(store: Store) {
    let (server, key) = (store.zookeeper(), store.key("least"));
    let begun = Instant::now();
    let mut worker = worker(&["least", &server.url(), &key]);
    worker.expect_line("start", SOON);
    worker.kill();
    let guard = client(&store).lock(&key).wait(Duration::from_secs(15)).acquire().await.unwrap();
    let free = begun.elapsed();
    assert!(free >= Duration::from_secs(6) && free < Duration::from_secs(10), "free after {free:?}, at least 6 s");
    guard.release().await.unwrap();
    nothing_is_left(&server, &key).await;
}

/// The entry moves to a session of its own and back, and stays first in line under one name.
pub(crate) async fn a_kept_hold_goes_on_beyond_its_least_time(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let lock = locks.lock(&key).ttl(Duration::from_secs(2)).hold_at_least(Duration::from_secs(1));
    let guard = lock.acquire().await.unwrap();
    let plain = locks.lock(store.key("plain")).ttl(Duration::from_secs(2)).acquire().await.unwrap();
    assert_ne!(server.owner(&key), server.owner(plain.key().as_str()));
    let entry = server.ephemerals(&key);
    let waiting = tokio::spawn(client(&store).lock(&key).acquire());
    tokio::time::sleep(Duration::from_secs(6)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "two hold `{key}`");
    assert_eq!(server.ephemerals(&key)[0], entry[0]);
    assert_eq!(
        server.owner(&entry[0]),
        server.owner(plain.key().as_str()),
        "not moved back to the session that is renewed"
    );
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(server.ephemerals(&key), [""; 0]);
}

/// It has moved back to the session that is renewed, and must outlive that as well.
pub(crate) async fn a_kept_lock_stays_though_its_client_closes_late(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let (ttl, least) = (Duration::from_secs(5), Duration::from_secs(4));
    let plain = locks.lock(store.key("plain")).ttl(ttl).acquire().await.unwrap();
    let begun = Instant::now();
    let guard = locks.lock(&key).ttl(ttl).hold_at_least(least).acquire().await.unwrap();
    eventually(SOON, async || {
        if server.owner(&key) == server.owner(plain.key().as_str()) { Ok(()) } else { Err("not moved back") }
    })
    .await;
    assert!(begun.elapsed() < least, "too late for this test");
    locks.close().await;
    drop(guard);
    assert_eq!(server.ephemerals(&key).len(), 1);
    client(&store).lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    let free = begun.elapsed();
    assert!(free >= least && free < least + Duration::from_secs(3), "free after {free:?}, at least {least:?}");
}
