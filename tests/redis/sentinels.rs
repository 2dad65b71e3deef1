//! A primary that sentinels watch: found, followed when a replica is promoted, and never gone back to.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::redis::{Redis, SentinelSetup, Sentinels};
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::cost::RARE;
use support::scenarios::{acquire_and_release, chain, connect, granted, held, lost, nothing_is_left, queued};
use support::{HANG_LIMIT, Server, cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        the_primary_is_found_by_any_sentinel,
        a_replica_is_promoted_while_a_lock_is_held_and_waited_for,
        a_primary_that_comes_back_is_not_asked,
        a_connection_to_a_former_primary_is_given_up,
        what_was_not_replicated_is_lost_by_its_holder_at_once,
        sentinels_and_servers_have_logins_of_their_own,
        what_the_sentinels_do_not_know_is_named,
        sentinels_that_are_away_stop_nobody_who_is_connected,
        an_uncontended_pair_is_two_commands_behind_sentinels,
        a_grant_counts_when_replicas_have_it,
        a_hand_off_counts_when_replicas_have_it,
        a_hand_off_that_is_forgotten_before_replicas_have_it_is_no_grant,
        a_grant_that_is_requested_again_counts_when_replicas_have_it,
        sentinels_and_servers_speak_tls,
    ]
}

fn start(fixture: &Fixture, setup: &SentinelSetup) -> Sentinels {
    let all = Sentinels::start(fixture.program(), setup);
    all.servers().iter().chain(all.sentinels()).for_each(|server| fixture.remember(server.log()));
    all
}

async fn the_primary_is_found_by_any_sentinel(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let ours = connect(&all.url());
    let guard = ours.lock("k").acquire().await.unwrap();
    for sentinel in all.sentinels() {
        let by_one = connect(&all.url_by(&sentinel.endpoint()));
        assert!(by_one.lock("k").try_acquire().await.unwrap().is_none());
    }
    // Two that are away are named first.
    all.sentinels()[0].kill();
    all.sentinels()[1].pause();
    let by_last = connect(&all.url());
    assert!(by_last.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    acquire_and_release(&by_last, "k").await;
    all.sentinels()[1].resume();
}

async fn a_replica_is_promoted_while_a_lock_is_held_and_waited_for(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let (ours, theirs) = (connect(&all.url()), connect(&all.url()));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let primary = all.primary();
    let before = primary.endpoint();
    primary.replicated().await;
    primary.kill();
    all.promoted(&before).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "two have the lock");
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(next.fence() > fence);
    next.release().await.unwrap();
    acquire_and_release(&ours, "k").await;
    nothing_is_left(&all, "").await;
}

/// It comes back as what it was, and believes it for some seconds: until the sentinels tell it.
async fn a_primary_that_comes_back_is_not_asked(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let locks = connect(&all.url());
    acquire_and_release(&locks, "k").await;
    let primary = all.primary();
    let before = primary.endpoint();
    primary.kill();
    all.promoted(&before).await;
    let guard = locks.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    primary.restart();
    let came_back = Instant::now();
    while primary.role() == "master" && came_back.elapsed() < HANG_LIMIT {
        let other = connect(&all.url());
        assert!(other.lock("k").try_acquire().await.unwrap().is_none(), "another server was asked");
        assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    }
    assert!(primary.keys("*").iter().all(|key| !key.contains("other")));
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// A connection that was open before a failover leads to a server that answers again: as a primary, for some time.
async fn a_connection_to_a_former_primary_is_given_up(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    // It sends nothing by itself meanwhile.
    let ours = connect(&all.url_with("ttl=600s&connect_timeout=60s"));
    acquire_and_release(&ours, "k").await;
    let primary = all.primary();
    let before = primary.endpoint();
    primary.pause();
    all.promoted(&before).await;
    let theirs = connect(&all.url());
    let guard = theirs.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    // The client has heard of the failover from a sentinel; what is said to it then, it says to everybody.
    eventually(async || match ours.server_facts().await {
        Ok(facts) if facts.get("primary").is_some_and(|primary| *primary != before) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    primary.resume();
    for _ in 0..20 {
        assert!(ours.lock("k").try_acquire().await.unwrap().is_none(), "the former primary was asked");
    }
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// Two held it, as the store's table has it, until the first one knows. That is soon.
async fn what_was_not_replicated_is_lost_by_its_holder_at_once(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let (ours, theirs) = (connect(&all.url()), connect(&all.url()));
    acquire_and_release(&theirs, "k").await;
    let before = all.primary().endpoint();
    let replica = all.servers().iter().find(|server| server.endpoint() != before).unwrap();
    all.primary().replicated().await;
    // What the primary writes from now on comes nowhere.
    replica.pause();
    all.primary().ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    let body = held(&ours, "k", 600).await;
    all.primary().kill();
    replica.resume();
    all.promoted(&before).await;
    let second = theirs.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    // Long before the next renewal, which is due in three minutes.
    let error = lost(body).await;
    assert!(chain(&error).contains("gone from Redis"), "{}", chain(&error));
    second.check().unwrap();
    second.release().await.unwrap();
}

async fn sentinels_and_servers_have_logins_of_their_own(fixture: Fixture) {
    let (server, sentinel) = (Some("of-servers".to_owned()), Some("of-sentinels".to_owned()));
    let setup = SentinelSetup { password: server, sentinel_password: sentinel, ..SentinelSetup::default() };
    let all = start(&fixture, &setup);
    let locks = connect(&all.url());
    let before = all.primary().endpoint();
    acquire_and_release(&locks, "k").await;
    for (url, what) in [
        (all.url().replace("of-sentinels", "wrong"), "`sentinel_password`"),
        (all.url().replace("&sentinel_password=of-sentinels", ""), "`sentinel_password`"),
        (all.url().replace(":of-servers@", ":wrong@"), "check user and password"),
    ] {
        let error = refused_at_once(&url, "k").await;
        let said = chain(&error);
        assert!(error.kind() == ErrorKind::Unauthorized && said.contains(what), "{url}: {said}");
        assert!(!said.contains("of-sentinels") && !said.contains("of-servers"), "{said}");
    }
    all.primary().kill();
    all.promoted(&before).await;
    acquire_and_release(&locks, "k").await;
}

async fn what_the_sentinels_do_not_know_is_named(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let error = refused_at_once(&all.url().replace("sentinel=locks", "sentinel=lokcs"), "k").await;
    assert!(error.kind() == ErrorKind::Unsupported && chain(&error).contains("`lokcs`"), "{}", chain(&error));
    let server = all.servers()[0].endpoint();
    let locks = Locks::connect(format!("{}&connect_timeout=1s", all.url_by(&server))).unwrap();
    let error = locks.lock("k").acquire().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && chain(&error).contains(&server), "{}", chain(&error));
}

async fn sentinels_that_are_away_stop_nobody_who_is_connected(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let locks = connect(&all.url());
    let guard = locks.lock("held").ttl(Duration::from_secs(4)).acquire().await.unwrap();
    all.sentinels().iter().for_each(|sentinel| sentinel.kill());
    acquire_and_release(&locks, "k").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
}

async fn an_uncontended_pair_is_two_commands_behind_sentinels(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let locks = connect(&all.url_with(RARE));
    acquire_and_release(&locks, "/warm").await;
    let evalsha = |server: &Redis| server.counts().of("evalsha");
    let primary = all.primary();
    for round in 0..20 {
        let before = evalsha(primary);
        let guard = locks.lock("/pair").acquire().await.unwrap();
        assert_eq!(evalsha(primary) - before, 1, "acquire {round}");
        guard.release().await.unwrap();
        assert_eq!(evalsha(primary) - before, 2, "release {round}");
    }
}

async fn a_grant_counts_when_replicas_have_it(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let locks = connect(&all.url_with("wait_replicas=1"));
    let replica = all.servers().iter().find(|server| server.role() != "master").unwrap();
    for round in 0..20 {
        let key = format!("k{round}");
        let guard = locks.lock(&key).acquire().await.unwrap();
        assert_eq!(replica.keys(&key).len(), 1, "acquired before the replica had it");
        guard.release().await.unwrap();
    }
    let two = connect(&all.url_with("wait_replicas=2"));
    let error = two.lock("k").wait(Duration::from_secs(6)).acquire().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && chain(&error).contains("1 of 2 replicas"), "{}", chain(&error));
    nothing_is_left(&all, "k").await;
    acquire_and_release(&locks, "k").await;
}

/// Whoever is granted the lock by the release of another waits for replicas, too.
async fn a_hand_off_counts_when_replicas_have_it(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let (ours, theirs) = (connect(&all.url()), connect(&all.url_with("wait_replicas=1")));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let replica = all.servers().iter().find(|server| server.role() != "master").unwrap();
    all.primary().replicated().await;
    replica.pause();
    guard.release().await.unwrap();
    // It is granted on the primary; a sentinel may say by and by that the replica is away, and nothing changes by that.
    eventually(async || match all.primary().try_ask(&["EXISTS", "{k}:queue"]) {
        Ok(found) if found.number() == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "acquired before the replica had it");
    replica.resume();
    granted(waiting).await.release().await.unwrap();
}

/// As after a failover: the server that is asked whether replicas have the grant knows of none.
async fn a_hand_off_that_is_forgotten_before_replicas_have_it_is_no_grant(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let rare = "ttl=600s&connect_timeout=60s";
    let (ours, theirs) = (connect(&all.url_with(rare)), connect(&all.url_with(&format!("{rare}&wait_replicas=1"))));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let replica = all.servers().iter().find(|server| server.role() != "master").unwrap();
    let primary = all.primary();
    primary.replicated().await;
    replica.pause();
    // What is to be on the replica waits behind this one.
    let before = theirs.lock("before");
    let before = tokio::spawn(before.acquire());
    eventually(async || if primary.keys("before").is_empty() { Err("not acquired") } else { Ok(()) }).await;
    let evalsha = || primary.counts().of("evalsha");
    let so_far = evalsha();
    guard.release().await.unwrap();
    // The release, and the look of the one who was notified.
    eventually(async || if evalsha() < so_far + 2 { Err(evalsha()) } else { Ok(()) }).await;
    primary.delete("k");
    replica.resume();
    let guard = granted(waiting).await;
    assert!(ours.lock("k").try_acquire().await.unwrap().is_none(), "two have the lock");
    guard.release().await.unwrap();
    granted(before).await.release().await.unwrap();
}

/// The grant is there when the request is repeated, by a connection that has written nothing itself.
async fn a_grant_that_is_requested_again_counts_when_replicas_have_it(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup::default());
    let locks = connect(&all.url_with("ttl=600s&connect_timeout=60s&wait_replicas=1"));
    acquire_and_release(&locks, "k").await;
    let replica = all.servers().iter().find(|server| server.role() != "master").unwrap();
    let primary = all.primary();
    primary.replicated().await;
    replica.pause();
    let acquiring = tokio::spawn(locks.lock("k").acquire());
    eventually(async || if primary.keys("k").is_empty() { Err("not acquired") } else { Ok(()) }).await;
    let evalsha = || primary.counts().of("evalsha");
    let so_far = evalsha();
    primary.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually(async || if evalsha() == so_far { Err("not requested again") } else { Ok(()) }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!acquiring.is_finished(), "acquired before the replica had it");
    replica.resume();
    let guard = granted(acquiring).await;
    assert_eq!(replica.keys("k").len(), 1);
    guard.release().await.unwrap();
}

async fn sentinels_and_servers_speak_tls(fixture: Fixture) {
    let all = start(&fixture, &SentinelSetup { tls: true, ..SentinelSetup::default() });
    assert!(all.url().starts_with("rediss:"), "{}", all.url());
    let (ours, theirs) = (connect(&all.url()), connect(&all.url()));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    let before = all.primary().endpoint();
    all.primary().replicated().await;
    all.primary().kill();
    all.promoted(&before).await;
    acquire_and_release(&ours, "k").await;
}
