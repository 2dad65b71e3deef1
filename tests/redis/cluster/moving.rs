//! A slot moves to another shard: what is held stays held, who waits goes on to wait, and nothing is granted because keys that
//! belong together are in two places.

use super::start;
use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks, Mode};
use std::time::Duration;
use support::redis::{Cluster, Redis};
use support::scenarios::{acquire_and_release, chain, connect, granted, nothing_is_left, queued};
use support::{Server, cases, eventually};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_lock_that_is_held_moves,
        a_lock_that_is_waited_for_moves,
        readers_move,
        keys_in_two_places_grant_nothing,
        a_free_lock_is_acquired_while_its_slot_moves,
        all_slots_of_a_shard_move_under_load,
    ]
}

const TTL: Duration = Duration::from_secs(6);

/// A key, its slot, the shard that has it, and another one.
fn route<'a>(cluster: &'a Cluster, key: &str) -> (u16, &'a Redis, &'a Redis) {
    let other = cluster.key_elsewhere("other", &[key]);
    (cluster.slot(key), cluster.primary_of(key), cluster.primary_of(&other))
}

/// Until the lock was renewed twice, at least.
async fn renewed(guard: &Guard) {
    tokio::time::sleep(TTL + TTL / 2).await;
    guard.check().expect("it was not renewed");
}

async fn a_lock_that_is_held_moves(fixture: Fixture) {
    let cluster = start(&fixture);
    let (locks, others) = (connect(&cluster.url()), connect(&cluster.url()));
    let (slot, from, to) = route(&cluster, "k");
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    cluster.begin_move(slot, from, to);
    renewed(&guard).await;
    assert!(others.lock("k").try_acquire().await.unwrap().is_none(), "its keys have not moved");
    cluster.move_keys(slot, from, to, |_| true);
    renewed(&guard).await;
    assert!(others.lock("k").try_acquire().await.unwrap().is_none(), "its keys have moved, its slot has not");
    cluster.end_move(slot, from, to);
    renewed(&guard).await;
    assert!(others.lock("k").try_acquire().await.unwrap().is_none());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = others.lock("k").acquire().await.unwrap();
    assert!(next.fence() > fence);
    next.release().await.unwrap();
    assert_eq!(from.left("k"), [""; 0]);
    nothing_is_left(&cluster, "k").await;
}

async fn a_lock_that_is_waited_for_moves(fixture: Fixture) {
    let cluster = start(&fixture);
    let (locks, others) = (connect(&cluster.url()), connect(&cluster.url()));
    let (slot, from, to) = route(&cluster, "k");
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let first = tokio::spawn(others.lock("k").ttl(TTL).acquire());
    queued(&locks, "k", 1).await;
    let second = tokio::spawn(connect(&cluster.url()).lock("k").ttl(TTL).acquire());
    queued(&locks, "k", 2).await;
    cluster.begin_move(slot, from, to);
    renewed(&guard).await;
    cluster.move_keys(slot, from, to, |_| true);
    renewed(&guard).await;
    cluster.end_move(slot, from, to);
    renewed(&guard).await;
    assert!(!first.is_finished() && !second.is_finished());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let first = granted(first).await;
    assert!(first.fence() > fence && !second.is_finished(), "in the order in which they came");
    first.release().await.unwrap();
    granted(second).await.release().await.unwrap();
    nothing_is_left(&cluster, "k").await;
}

async fn readers_move(fixture: Fixture) {
    let cluster = start(&fixture);
    let (locks, others) = (connect(&cluster.url()), connect(&cluster.url()));
    let (slot, from, to) = route(&cluster, "k");
    let readers = [locks.lock("k").mode(Mode::Shared).ttl(TTL), others.lock("k").mode(Mode::Shared).ttl(TTL)];
    let [one, two] = readers.map(|reader| tokio::spawn(reader.acquire()));
    let (one, two) = (granted(one).await, granted(two).await);
    cluster.begin_move(slot, from, to);
    cluster.move_keys(slot, from, to, |_| true);
    renewed(&one).await;
    two.check().unwrap();
    cluster.end_move(slot, from, to);
    renewed(&two).await;
    assert!(others.lock("k").try_acquire().await.unwrap().is_none());
    one.release().await.unwrap();
    two.release().await.unwrap();
    acquire_and_release(&others, "k").await;
}

/// Of a lock that is waited for each key is in one place or the other: whichever it is, nothing is granted until all are in one.
async fn keys_in_two_places_grant_nothing(fixture: Fixture) {
    let cluster = start(&fixture);
    let (locks, others) = (connect(&cluster.url()), connect(&cluster.url()));
    for (number, part) in ["queue", "holder", "waiters", "name"].into_iter().enumerate() {
        let key = format!("k{number}");
        let (slot, from, to) = route(&cluster, &key);
        let guard = locks.lock(&key).acquire().await.unwrap();
        let waiting = tokio::spawn(others.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        cluster.begin_move(slot, from, to);
        cluster.move_keys(slot, from, to, |name| if part == "name" { name == key } else { name.ends_with(part) });
        let refused = others.lock(&key).try_acquire().await;
        let is_refused = match &refused {
            Ok(guard) => guard.is_none(),
            Err(error) => error.kind() == ErrorKind::Unavailable && chain(error).contains("on its way"),
        };
        assert!(is_refused, "{part}: {refused:?}");
        // It is tried again until the slot has moved.
        let releasing = tokio::spawn(guard.release());
        cluster.end_move(slot, from, to);
        granted(waiting).await.release().await.unwrap();
        drop(releasing.await.unwrap());
        acquire_and_release(&locks, &key).await;
    }
    nothing_is_left(&cluster, "k").await;
}

/// Not before the slot's fence has moved.
async fn a_free_lock_is_acquired_while_its_slot_moves(fixture: Fixture) {
    let cluster = start(&fixture);
    let locks = connect(&cluster.url());
    let (slot, from, to) = route(&cluster, "k");
    let guard = locks.lock("k").acquire().await.unwrap();
    let fence = guard.fence();
    guard.release().await.unwrap();
    cluster.begin_move(slot, from, to);
    let error = locks.lock("k").wait(Duration::from_secs(4)).acquire().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && chain(&error).contains("on its way"), "{}", chain(&error));
    cluster.move_keys(slot, from, to, |_| true);
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(guard.fence() > fence);
    let fence = guard.fence();
    guard.release().await.unwrap();
    cluster.end_move(slot, from, to);
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(guard.fence() > fence);
    guard.release().await.unwrap();
    nothing_is_left(&cluster, "k").await;
}

/// What a person does with `redis-cli --cluster reshard`, slot by slot, while locks of those slots are acquired and released.
async fn all_slots_of_a_shard_move_under_load(fixture: Fixture) {
    let cluster = start(&fixture);
    let keys: Vec<String> = (0..24).map(|number| format!("/busy/{number}")).collect();
    let (_, from, to) = route(&cluster, &keys[0]);
    let (from_id, to_id) = (from.endpoint(), to.endpoint());
    let moving: Vec<&String> = keys.iter().filter(|key| cluster.primary_of(key).endpoint() == from_id).collect();
    let counts: Vec<_> = keys.iter().map(|key| tokio::spawn(busy(connect(&cluster.url()), key.clone()))).collect();
    let held = connect(&cluster.url());
    let mut guards = Vec::new();
    for key in &moving {
        guards.push(held.lock(format!("{{{key}}}/held")).ttl(TTL).acquire().await.unwrap());
    }
    for key in &moving {
        let slot = cluster.slot(key);
        cluster.begin_move(slot, from, to);
        cluster.move_keys(slot, from, to, |name| name.len() % 2 == 0);
        cluster.end_move(slot, from, to);
        assert_eq!(cluster.primary_of(key).endpoint(), to_id);
    }
    for count in counts {
        assert!(count.await.unwrap() > 0);
    }
    for guard in guards {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    eventually(async || match cluster.keys("*busy*") {
        keys if keys.iter().all(|key| key.ends_with(":fence")) => Ok(()),
        keys => Err(keys),
    })
    .await;
}

/// Acquires and releases the lock for a while, each time with a greater fence; returns how often.
async fn busy(locks: Locks, key: String) -> usize {
    let mut last = None;
    for round in 0..60 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        assert!(last < Some(guard.fence()), "{key}: {last:?}, then {:?}", guard.fence());
        last = Some(guard.fence());
        tokio::time::sleep(Duration::from_millis(20)).await;
        guard.release().await.unwrap_or_else(|error| panic!("{round}: {}", chain(&error)));
    }
    60
}
