//! What happens to the server: as in the store's table, the bad with the good.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::{Duration, Instant};
use support::proxy::{Mode, Proxy};
use support::redis::{Redis, Setup};
use support::scenarios::{acquire_and_release, chain, connect, faults, granted, held, lost, outages, stopping};
use support::{HANG_LIMIT, cases, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_restart_with_its_data_is_ridden_out,
        a_restart_without_data_is_noticed_by_the_next_renewal,
        a_server_that_is_away_for_long_ends_the_hold,
        what_the_server_refuses_for_now_is_named_and_tried_again,
        a_third_signal_ends_the_waiting_for_a_server_that_is_away,
        a_promoted_replica_has_what_was_replicated,
        a_promoted_replica_may_grant_twice_but_with_a_greater_fence,
    ]
}

fn durable() -> Setup {
    Setup { durable: true, ..Setup::default() }
}

async fn a_restart_with_its_data_is_ridden_out(fixture: Fixture) {
    let redis = fixture.start(&durable());
    outages::is_ridden_out(&redis, async |redis| redis.restart()).await;
}

async fn a_restart_without_data_is_noticed_by_the_next_renewal(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (locks, other) = (connect(&redis.url()), connect(&redis.url()));
    once_within(faults::BEFORE_THE_END, async || {
        let first = locks.lock("k").acquire().await.unwrap();
        let fence = first.fence();
        first.release().await.unwrap();
        let body = held(&locks, "k", faults::TTL).await;
        let restarted = Instant::now();
        redis.restart();
        // The server has forgotten it all: the table admits that another may hold now, and the fence still grows.
        let guard = other.lock("k").try_acquire().await.unwrap().expect("the server forgot the lock");
        assert!(guard.fence() > fence);
        lost(body).await;
        let took = restarted.elapsed();
        guard.check().unwrap();
        guard.release().await.unwrap();
        took
    })
    .await;
}

async fn a_server_that_is_away_for_long_ends_the_hold(fixture: Fixture) {
    let redis = fixture.start(&durable());
    outages::ends_the_hold(&redis, |redis| redis.kill(), |redis| redis.restart()).await;
}

/// It answers, and does not write without a replica.
async fn what_the_server_refuses_for_now_is_named_and_tried_again(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let guard = locks.lock("held").acquire().await.unwrap();
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let error = locks.lock("k").wait(Duration::from_secs(6)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    let address = redis.address().to_string();
    assert!(chain(&error).contains("NOREPLICAS") && chain(&error).contains(&address), "{}", chain(&error));
    let waiting = tokio::spawn(locks.lock("k").acquire());
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    granted(waiting).await.release().await.unwrap();
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// A server that follows the one at this port.
pub(crate) async fn replica(fixture: &Fixture, port: u16) -> Redis {
    let of = format!("127.0.0.1 {port}");
    let replica = fixture.start(&Setup { flags: vec!["--replicaof".into(), of], ..Setup::default() });
    eventually(async || {
        let state = replica.ask(&["INFO", "replication"]).text().unwrap();
        if state.contains("master_link_status:up") { Ok(()) } else { Err(state) }
    })
    .await;
    replica
}

/// A primary, a replica that follows it, and the network between the two.
async fn pair(fixture: &Fixture) -> (Redis, Redis, Proxy) {
    let flags = vec!["--repl-diskless-sync-delay".into(), "0".into()];
    let primary = fixture.start(&Setup { flags, ..Setup::default() });
    let network = Proxy::to(primary.address());
    let replica = replica(fixture, network.addr().port()).await;
    (primary, replica, network)
}

async fn a_third_signal_ends_the_waiting_for_a_server_that_is_away(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    stopping::a_third_signal_ends_the_waiting(&redis.url(), || redis.pause()).await;
    redis.resume();
}

async fn a_promoted_replica_has_what_was_replicated(fixture: Fixture) {
    let (primary, replica, _network) = pair(&fixture).await;
    let (ours, theirs) = (connect(&primary.url()), connect(&replica.url()));
    // Long enough for a busy machine to promote the replica and to look at it meanwhile.
    let guard = ours.lock("k").ttl(Duration::from_secs(20)).acquire().await.unwrap();
    eventually(async || if replica.keys("k").len() == 1 { Ok(()) } else { Err("not replicated") }).await;
    primary.pause();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none(), "held on the primary, and replicated");
    let next = theirs.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    // It could not be renewed on the new primary; its holder lost it before it lapsed there.
    assert!(guard.check().is_err());
    assert!(next.fence() > guard.fence());
    next.release().await.unwrap();
}

async fn a_promoted_replica_may_grant_twice_but_with_a_greater_fence(fixture: Fixture) {
    let (primary, replica, network) = pair(&fixture).await;
    let (ours, theirs) = (connect(&primary.url()), connect(&replica.url()));
    network.set(Mode::Refuse);
    let guard = ours.lock("k").ttl(Duration::from_secs(600)).acquire().await.unwrap();
    primary.kill();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    // What had not reached the replica is forgotten, as in the table. What the lock guards must compare fences.
    let second = theirs.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    guard.check().expect("the first holder cannot know");
    assert!(second.fence() > guard.fence());
    second.release().await.unwrap();
    acquire_and_release(&theirs, "k").await;
}
