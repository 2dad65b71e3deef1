//! Servers in cluster mode: of one shard, or of several.

mod moving;
mod shards;

use crate::{Case, Fixture};
use distributed_locks::store::Change;
use distributed_locks::{ErrorKind, Guard};
use std::ops::Range;
use std::time::{Duration, Instant};
use support::cases::Program;
use support::redis::{Binary, Cluster, Redis, Setup};
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::{chain, connect, granted, nothing_is_left, queued};
use support::{cases, eventually, in_time, once_within};

/// How often a waiter looks at the queue, at the most, while it has reason to expect a notification.
const BETWEEN_LOOKS: Duration = Duration::from_secs(4);

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![
        a_cluster_of_one_shard_is_used_as_any_server_is,
        a_second_database_of_a_cluster_is_refused,
        the_members_of_a_cluster_speak_tls,
        a_server_that_is_no_cluster_is_named,
        locks_of_all_shards_are_held_waited_for_and_watched,
        a_hand_off_on_any_shard_is_notified_at_once,
        several_locks_at_one_moment_have_to_have_a_hash_tag_in_common,
    ];
    all.extend(moving::cases());
    all.extend(shards::cases());
    all
}

/// Three shards with a replica each.
pub(crate) fn start(fixture: &Fixture) -> Cluster {
    let cluster = Cluster::start(fixture.program());
    cluster.members().iter().for_each(|member| fixture.remember(member.log()));
    cluster
}

fn with_slots(slots: Range<u16>) -> Setup {
    Setup { slots: Some(slots), ..Setup::default() }
}

/// Locks of many slots in one session, with names that have braces of their own.
async fn a_cluster_of_one_shard_is_used_as_any_server_is(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(8);
    let redis = fixture.start(&with_slots(0..16_384));
    redis.serves_cluster().await;
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let mut watch = theirs.watch("a}b").await.unwrap();
    let mut keys: Vec<String> = (0..50).map(|number| format!("k/{number}")).collect();
    keys.extend(["a}b", "a{b}c", "{x}", "{}y"].map(str::to_owned));
    let mut guards = Vec::new();
    for key in &keys {
        guards.push(ours.lock(key).ttl(TTL).acquire().await.unwrap());
    }
    assert!(format!("{:?}", watch.next().await).contains("Acquired"));
    let waiting: Vec<_> = keys.iter().map(|key| tokio::spawn(theirs.lock(key).ttl(TTL).acquire())).collect();
    for key in &keys {
        queued(&ours, key, 1).await;
    }
    tokio::time::sleep(2 * TTL).await;
    assert!(guards.iter().all(|guard| guard.check().is_ok()), "not all were renewed");
    assert_eq!(theirs.list("").await.unwrap().len(), keys.len());
    for guard in guards {
        guard.release().await.unwrap();
    }
    let mut held: Vec<Guard> = Vec::new();
    for waiter in waiting {
        held.push(granted(waiter).await);
    }
    assert!(ours.force_release("a{b}c").await.unwrap());
    theirs.close().await;
    eventually(async || match redis.all_keys() {
        keys if keys.is_empty() => Ok(()),
        keys => Err(keys),
    })
    .await;
}

/// Locks of many slots, whatever braces are in their names, on a cluster that is found by one of its members.
async fn locks_of_all_shards_are_held_waited_for_and_watched(fixture: Fixture) {
    let cluster = start(&fixture);
    let (ours, theirs) = (connect(&cluster.members()[4].url()), connect(&cluster.url()));
    let mut watch = theirs.watch("").await.unwrap();
    let mut keys: Vec<String> = (0..40).map(|number| format!("k/{number}")).collect();
    keys.extend(["a}b", "a{b}c", "{x}", "{}y", "{x}}", "ü{ö}"].map(str::to_owned));
    let mut guards = Vec::new();
    for key in &keys {
        guards.push(ours.lock(key).acquire().await.unwrap());
        let change = in_time(watch.next()).await;
        assert!(matches!(&change, Some(Change::Acquired(seen, _)) if seen.as_str() == key), "{change:?}");
    }
    let waiting: Vec<_> = keys.iter().map(|key| tokio::spawn(theirs.lock(key).acquire())).collect();
    for key in &keys {
        queued(&ours, key, 1).await;
        assert!(ours.lock(key).try_acquire().await.unwrap().is_none());
    }
    assert_eq!(theirs.list("").await.unwrap().len(), keys.len());
    assert_eq!(theirs.list("k/1").await.unwrap().len(), 11);
    let shards = cluster.members()[..3].iter().filter(|primary| !primary.all_keys().is_empty()).count();
    assert_eq!(shards, 3, "the locks are on all shards");
    let first = guards.iter().map(Guard::fence).collect::<Vec<_>>();
    for guard in guards {
        guard.release().await.unwrap();
    }
    let mut held: Vec<Guard> = Vec::new();
    for (waiter, before) in waiting.into_iter().zip(first) {
        held.push(granted(waiter).await);
        assert!(held.last().unwrap().fence() > before);
    }
    assert!(ours.force_release("a{b}c").await.unwrap());
    drop(held);
    theirs.close().await;
    nothing_is_left(&cluster, "").await;
}

/// The first waiter hears of a release at once, on whichever shard it is: in round trips, as on one server.
async fn a_hand_off_on_any_shard_is_notified_at_once(fixture: Fixture) {
    let cluster = start(&fixture);
    let (ours, theirs) = (connect(&cluster.url()), connect(&cluster.url()));
    let first = "k".to_owned();
    let second = cluster.key_elsewhere("k", &[&first]);
    let third = cluster.key_elsewhere("k", &[&first, &second]);
    for key in [&first, &second, &third] {
        once_within(BETWEEN_LOOKS / 2, async || {
            let guard = ours.lock(key).acquire().await.unwrap();
            let waiting = tokio::spawn(theirs.lock(key).acquire());
            queued(&ours, key, 1).await;
            let released = Instant::now();
            guard.release().await.unwrap();
            granted(waiting).await.release().await.unwrap();
            released.elapsed()
        })
        .await;
    }
    let sharded = |member: &Redis| member.counts().of("ssubscribe");
    assert!(cluster.members()[..3].iter().all(|member| sharded(member) > 0), "not by channels of the shards");
}

async fn several_locks_at_one_moment_have_to_have_a_hash_tag_in_common(fixture: Fixture) {
    let cluster = start(&fixture);
    let locks = connect(&cluster.url());
    let other = cluster.key_elsewhere("/b", &["/a"]);
    let error = locks.lock_all(["/a", other.as_str()]).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("hash tag"), "{error}");
    let guard = locks.lock_all(["{accounts}/1", "{accounts}/2"]).acquire().await.unwrap();
    assert!(locks.lock("{accounts}/2").try_acquire().await.unwrap().is_none());
    let waiting = tokio::spawn(connect(&cluster.url()).lock_all(["{accounts}/2", "{accounts}/3"]).acquire());
    queued(&locks, "{accounts}/3", 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    let tenant = connect(&crate::with_path(&cluster.url(), "/{tenant}:"));
    let guard = tenant.lock_all(["/a", other.as_str()]).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&crate::with_path(&cluster.url(), "/{tenant}:")).lock("/a").acquire());
    queued(&tenant, "/a", 1).await;
    assert_eq!(tenant.list("").await.unwrap().len(), 2);
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&cluster, "").await;
}

async fn a_server_that_is_no_cluster_is_named(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let error = refused_at_once(&redis.url_with("cluster"), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("leave `cluster` out"), "{error}");
}

async fn a_second_database_of_a_cluster_is_refused(fixture: Fixture) {
    let redis = fixture.start(&with_slots(0..16_384));
    redis.serves_cluster().await;
    let error = refused_at_once(&redis.url_with("db=1"), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("`db`"), "{error}");
}

/// Also where the cluster names them.
async fn the_members_of_a_cluster_speak_tls(fixture: Fixture) {
    let flags = ["--tls-cluster", "yes"].map(str::to_owned).to_vec();
    let redis = fixture.start(&Setup { slots: Some(0..16_384), flags, ..Binary::with_tls() });
    redis.serves_cluster().await;
    let url = redis.url_with("cluster");
    assert!(url.starts_with("rediss:"), "{url}");
    let (ours, theirs) = (connect(&url), connect(&url));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}
