//! What happens to the server: as the store's table says, the bad with the good.

use crate::{SOON, Store, connect, nothing_is_left, stands_in_line};
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::eventually;
use support::proxy::{Mode, Proxy};
use support::redis::{Redis, Setup};

pub(crate) async fn a_restart_with_its_data_is_ridden_out(store: Store) {
    let redis = store.start(&Setup { durable: true, ..Setup::default() });
    let (locks, other) = (connect(&redis.url()), connect(&redis.url()));
    let guard = locks.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(other.lock("k").acquire());
    stands_in_line(&locks, "k", 1).await;
    redis.restart();
    // More than a renewal.
    tokio::time::sleep(Duration::from_secs(4)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "{:?}", waiting.await.unwrap());
    guard.release().await.unwrap();
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
    nothing_is_left(&redis, "").await;
}

pub(crate) async fn a_restart_without_data_is_told_by_the_next_renewal(store: Store) {
    let redis = store.start(&Setup::default());
    let (locks, other) = (connect(&redis.url()), connect(&redis.url()));
    let first = locks.lock("k").acquire().await.unwrap();
    let fence = first.fence();
    first.release().await.unwrap();
    let body = held(&locks, "k", 6).await;
    redis.restart();
    let restarted = Instant::now();
    // The server has forgotten it all: the table admits that another may hold now, and the fence still grows.
    let guard = other.lock("k").try_acquire().await.unwrap().expect("the server forgot the lock");
    assert!(guard.fence() > fence);
    lost(body).await;
    assert!(restarted.elapsed() < Duration::from_secs(3), "told after {:?} at a TTL of 6 s", restarted.elapsed());
    guard.check().unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn a_server_that_is_away_for_long_ends_the_hold_before_it_lapses(store: Store) {
    let redis = store.start(&Setup { durable: true, ..Setup::default() });
    let locks = connect(&redis.url());
    let body = held(&locks, "k", 6).await;
    redis.kill();
    let killed = Instant::now();
    lost(body).await;
    assert!(killed.elapsed() < Duration::from_secs(6), "{:?}", killed.elapsed());
    redis.restart();
    locks.lock("k").wait(SOON).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_paused_server_grants_nothing_twice(store: Store) {
    let redis = store.start(&Setup::default());
    let (locks, other) = (connect(&redis.url()), connect(&redis.url()));
    let body = held(&locks, "k", 2).await;
    let waiting = tokio::spawn(other.lock("k").ttl(Duration::from_secs(20)).acquire());
    stands_in_line(&other, "k", 1).await;
    redis.pause();
    lost(body).await;
    assert!(!waiting.is_finished());
    redis.resume();
    let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// A primary, a replica that follows it, and the way between the two.
async fn pair(store: &Store) -> (Redis, Redis, Proxy) {
    let primary =
        store.start(&Setup { flags: vec!["--repl-diskless-sync-delay".into(), "0".into()], ..Setup::default() });
    let way = Proxy::to(primary.address());
    let of = format!("127.0.0.1 {}", way.addr().port());
    let replica = store.start(&Setup { flags: vec!["--replicaof".into(), of], ..Setup::default() });
    eventually(SOON, async || {
        let state = replica.ask(&["INFO", "replication"]).text().unwrap();
        if state.contains("master_link_status:up") { Ok(()) } else { Err(state) }
    })
    .await;
    (primary, replica, way)
}

pub(crate) async fn a_promoted_replica_has_what_was_replicated(store: Store) {
    let (primary, replica, _way) = pair(&store).await;
    let (ours, theirs) = (connect(&primary.url()), connect(&replica.url()));
    let guard = ours.lock("k").ttl(Duration::from_secs(4)).acquire().await.unwrap();
    eventually(SOON, async || if replica.keys("k").len() == 1 { Ok(()) } else { Err("not replicated") }).await;
    primary.pause();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none(), "held on the primary, and replicated");
    let next = theirs.lock("k").wait(SOON).acquire().await.unwrap();
    // Nobody could renew it on the new primary; its holder knew before it lapsed there.
    assert!(guard.check().is_err());
    assert!(next.fence() > guard.fence());
    next.release().await.unwrap();
}

pub(crate) async fn a_promoted_replica_may_grant_twice_but_with_a_greater_fence(store: Store) {
    let (primary, replica, way) = pair(&store).await;
    let (ours, theirs) = (connect(&primary.url()), connect(&replica.url()));
    way.set(Mode::Refuse);
    let guard = ours.lock("k").ttl(Duration::from_secs(6)).acquire().await.unwrap();
    primary.kill();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    // What the replica had not heard of is forgotten: the table says so. What the lock guards must compare fences.
    let second = theirs.lock("k").wait(SOON).acquire().await.unwrap();
    guard.check().expect("nobody can have told the first holder");
    assert!(second.fence() > guard.fence());
    second.release().await.unwrap();
}
