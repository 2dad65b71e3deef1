//! Servers in cluster mode: one shard is used as any server is, several are refused.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard};
use std::ops::Range;
use std::time::Duration;
use support::redis::Setup;
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::{chain, connect, granted, queued};
use support::{cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_cluster_of_one_shard_is_used_as_any_server_is,
        a_cluster_of_several_shards_is_refused_before_a_lock_is_granted,
        a_second_database_of_a_cluster_is_refused,
    ]
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

async fn a_cluster_of_several_shards_is_refused_before_a_lock_is_granted(fixture: Fixture) {
    let shards = [0..8192, 8192..16_384].map(|slots| fixture.start(&with_slots(slots)));
    shards[0].meet(&shards[1]);
    shards[0].serves_cluster().await;
    for key in ["foo", "bar", "baz", "k"] {
        let error = refused_at_once(&shards[0].url(), key).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("2 shards"), "{error}");
    }
    assert_eq!(shards[0].keys("*").len() + shards[1].keys("*").len(), 0);
}

async fn a_second_database_of_a_cluster_is_refused(fixture: Fixture) {
    let redis = fixture.start(&with_slots(0..16_384));
    redis.serves_cluster().await;
    let error = refused_at_once(&redis.url_with("db=1"), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("`db`"), "{error}");
}
