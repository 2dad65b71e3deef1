//! What happens to one shard, and what does not happen to the others by that.

use super::start;
use crate::{Case, Fixture};
use std::time::Duration;
use support::cases::Program;
use support::scenarios::cost::{self, RARE, cost};
use support::scenarios::{acquire_and_release, connect, granted, held, lost, nothing_is_left, queued};
use support::{HANG_LIMIT, Server, cases, eventually};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_replica_of_a_shard_is_promoted_while_locks_are_held_and_waited_for,
        a_primary_that_comes_back_is_a_replica,
        a_shard_that_is_cut_off_loses_its_locks_and_no_others,
        a_paused_primary_stops_nobody_on_other_shards,
        an_uncontended_pair_is_two_commands_on_any_shard;
        slow:
        a_thousand_locks_are_one_command_for_each_slot_each_third,
    ]
}

/// The primary has acknowledged nothing that its replica does not have: the test waits for that.
async fn a_replica_of_a_shard_is_promoted_while_locks_are_held_and_waited_for(fixture: Fixture) {
    let cluster = start(&fixture);
    let (ours, theirs) = (connect(&cluster.url()), connect(&cluster.url()));
    let other = cluster.key_elsewhere("other", &["k"]);
    let guard = ours.lock("k").acquire().await.unwrap();
    let elsewhere = ours.lock(&other).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let primary = cluster.primary_of("k");
    let before = primary.endpoint();
    primary.replicated().await;
    primary.kill();
    cluster.promoted("k", &before).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "two have the lock");
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(next.fence() > fence);
    next.release().await.unwrap();
    elsewhere.check().unwrap();
    elsewhere.release().await.unwrap();
    acquire_and_release(&theirs, "k").await;
    nothing_is_left(&cluster, "k").await;
}

async fn a_primary_that_comes_back_is_a_replica(fixture: Fixture) {
    let cluster = start(&fixture);
    let locks = connect(&cluster.url());
    let primary = cluster.primary_of("k");
    let before = primary.endpoint();
    primary.pause();
    cluster.promoted("k", &before).await;
    let guard = locks.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    // It believes for a moment that it still is what it was.
    primary.resume();
    let others = connect(&cluster.url());
    assert!(others.lock("k").try_acquire().await.unwrap().is_none());
    eventually(async || {
        let info = primary.ask(&["INFO", "replication"]).text().unwrap_or_default();
        if info.contains("role:slave") { Ok(()) } else { Err(info) }
    })
    .await;
    guard.check().unwrap();
    guard.release().await.unwrap();
    acquire_and_release(&others, "k").await;
}

async fn a_shard_that_is_cut_off_loses_its_locks_and_no_others(fixture: Fixture) {
    const TTL: u64 = 9;
    let cluster = start(&fixture);
    let locks = connect(&cluster.url_with("connect_timeout=3s"));
    let other = cluster.key_elsewhere("other", &["k"]);
    let (cut_off, going_on) = (held(&locks, "k", TTL).await, held(&locks, &other, TTL).await);
    let primary = cluster.primary_of("k");
    let place = cluster.members().iter().position(|member| member.endpoint() == primary.endpoint()).unwrap();
    let replica = &cluster.members()[place + 3];
    replica.kill();
    primary.kill();
    let error = lost(cut_off).await;
    assert_eq!(error.key().map(|key| key.as_str()), Some("k"), "{error}");
    // Others are acquired, renewed and released as ever, in the same session.
    tokio::time::sleep(Duration::from_secs(TTL)).await;
    assert!(!going_on.is_finished(), "{:?}", going_on.await);
    acquire_and_release(&locks, &cluster.key_elsewhere("third", &["k"])).await;
    going_on.abort();
    // A member of Valkey 8.1 that is started again without its replica aborts now and then (about one time in five).
    if !fixture.program().label().starts_with("valkey") {
        primary.restart();
        acquire_and_release(&locks, "k").await;
    }
}

/// Whoever waits for an answer of one member is not in the way of those that wait for others.
async fn a_paused_primary_stops_nobody_on_other_shards(fixture: Fixture) {
    let cluster = start(&fixture);
    let locks = connect(&cluster.url_with("connect_timeout=60s"));
    let other = cluster.key_elsewhere("other", &["k"]);
    acquire_and_release(&locks, "k").await;
    let primary = cluster.primary_of("k");
    let before = primary.endpoint();
    primary.pause();
    let stopped: Vec<_> = (0..20).map(|number| tokio::spawn(locks.lock(format!("{{k}}{number}")).acquire())).collect();
    for round in 0..100 {
        locks.lock(&other).acquire().await.unwrap().release().await.unwrap();
        assert!(round > 0 || stopped.iter().all(|stopped| !stopped.is_finished()), "none was stopped");
    }
    cluster.promoted("k", &before).await;
    for stopped in stopped {
        granted(stopped).await.release().await.unwrap();
    }
    primary.resume();
}

async fn an_uncontended_pair_is_two_commands_on_any_shard(fixture: Fixture) {
    let cluster = start(&fixture);
    let locks = connect(&cluster.url_with(RARE));
    for number in 0..9 {
        acquire_and_release(&locks, &format!("/warm/{number}")).await;
    }
    let one = cost([("evalsha", 1)]);
    cost::an_uncontended_pair_costs(&cluster, &locks, &one, &one).await;
}

/// As many commands as there are slots with locks, at each renewal: one moment for each shard.
async fn a_thousand_locks_are_one_command_for_each_slot_each_third(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(30);
    const KEYS: usize = 1000;
    let cluster = start(&fixture);
    let locks = connect(&cluster.url_with("ttl=30s&connect_timeout=60s"));
    // Of a hundred hash tags.
    let keys: Vec<String> = (0..KEYS).map(|number| format!("{{{}}}/{number}", number % 100)).collect();
    let mut guards = Vec::new();
    for key in &keys {
        guards.push(locks.lock(key).acquire().await.unwrap());
    }
    // All of them are looked at once, when it is known that notifications come through.
    tokio::time::sleep(TTL / 2).await;
    let calls = || cluster.members()[..3].iter().map(|primary| primary.counts().of("evalsha")).sum::<u64>();
    let before = calls();
    tokio::time::sleep(TTL).await;
    let renewals = calls() - before;
    println!("{KEYS} locks in 100 slots: {renewals} commands in {TTL:?}");
    assert!(guards.iter().all(|guard| guard.check().is_ok()));
    // Three or four renewals, as they fall, of a hundred commands.
    assert!((200..=450).contains(&renewals), "{renewals} commands");
    drop(guards);
    locks.close().await;
    assert!(cluster.left("{").is_empty());
}
