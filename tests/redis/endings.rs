//! However a body ends, nothing of it stays.

use crate::{SOON, Store, client, keys, nothing_is_left, stands_in_line};
use std::time::{Duration, Instant};
use support::child::{Child, binary};

fn worker(arguments: &[&str]) -> Child {
    Child::start(binary("worker").args(arguments))
}

/// Runs the worker, whose `main` ends right after the call, to its end: nothing is left then.
fn run_to_its_end(store: &Store, how: &str) -> Child {
    let (redis, key) = (store.redis(), store.key(how));
    let mut worker = worker(&["ends", how, &redis.url(), &key]);
    worker.expect_line("start", SOON);
    let status = worker.wait(SOON);
    assert_eq!(status.success(), how != "panic", "{status}");
    assert_eq!(keys(&redis, &key), Vec::<String>::new());
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

pub(crate) async fn the_holder_shows_while_it_runs(store: Store) {
    let (redis, key) = (store.redis(), store.key("shows"));
    let mut worker = worker(&["hold", "10", &redis.url(), &key]);
    worker.expect_line("start", SOON);
    let shown = redis.ask(&["HGET", &format!("{{{key}}}:holder"), "record"]).text().unwrap();
    assert!(shown.contains("worker::hold") && shown.contains(&format!("\"pid\":{}", worker.id())), "{shown}");
    assert!((1..=10_000).contains(&redis.ask(&["PTTL", &key]).number()));
    let line = client(&store).inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid), (1, worker.id()));
}

pub(crate) async fn a_killed_holder_is_free_after_the_ttl(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("killed"), client(&store));
    let mut worker = worker(&["hold", "2", &redis.url(), &key]);
    worker.expect_line("start", SOON);
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    stands_in_line(&locks, &key, 1).await;
    worker.kill();
    let left = Duration::from_millis(redis.ask(&["PTTL", &key]).number().try_into().unwrap());
    let killed = Instant::now();
    let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    let late = killed.elapsed().saturating_sub(left);
    assert!(late < Duration::from_millis(500), "taken over {late:?} after it was free");
    guard.release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}

pub(crate) async fn a_killed_waiter_is_passed_over(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("killed"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut worker = worker(&["hold", "2", &redis.url(), &key]);
    stands_in_line(&locks, &key, 1).await;
    let other = client(&store);
    let waiting = tokio::spawn(other.lock(&key).acquire());
    stands_in_line(&locks, &key, 2).await;
    worker.kill();
    stands_in_line(&locks, &key, 1).await;
    guard.release().await.unwrap();
    let released = Instant::now();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    assert!(released.elapsed() < Duration::from_millis(500), "{:?}", released.elapsed());
    nothing_is_left(&redis, &key).await;
}

pub(crate) async fn hold_at_least_survives_kill(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("least"), client(&store));
    let begun = Instant::now();
    let mut worker = worker(&["least", &redis.url(), &key]);
    worker.expect_line("start", SOON);
    worker.kill();
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    let free = begun.elapsed();
    assert!(free >= Duration::from_secs(6) && free < Duration::from_secs(8), "free after {free:?}, at least 6 s");
    guard.release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}
