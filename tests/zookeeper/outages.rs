//! Servers are away for a while.

use crate::{Case, Fixture};
use std::time::Duration;
use support::scenarios::{acquire_and_release, connect, granted, held, lost, outages, queued};
use support::zookeeper::{Setup, ZooKeeper, url};
use support::{cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_restarted_server_is_ridden_out,
        a_stopped_server_is_left_for_another,
        a_killed_leader_loses_no_hold,
        a_server_without_its_leader_renews_nothing,
    ]
}

/// Beyond the TTL that ran when it went down: the session is renewed at the new one.
async fn a_restarted_server_is_ridden_out(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::is_ridden_out_beyond_the_ttl(&server, async |server| server.restart()).await;
}

fn leader(servers: &[ZooKeeper]) -> Option<usize> {
    servers.iter().position(ZooKeeper::leads)
}

/// Waits until there is one leader and two followers: one that was stopped while it led believes for a moment that it
/// still does.
async fn settled(servers: &[ZooKeeper]) {
    eventually(async || {
        let modes: Vec<_> = servers.iter().filter_map(|server| server.command("srvr")).collect();
        let count = |mode: &str| modes.iter().filter(|answer| answer.contains(mode)).count();
        match (count("Mode: leader"), count("Mode: follower")) {
            (1, 2) => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
}

async fn a_stopped_server_is_left_for_another(fixture: Fixture) {
    let servers = fixture.ensemble(&Setup::default());
    let (key, locks) = (fixture.key("k"), connect(&format!("{}?ttl=120s", url(&servers))));
    let guard = locks.lock(&key).acquire().await.unwrap();
    for (number, server) in servers.iter().enumerate() {
        server.pause();
        // It is resumed only when the lock has been acquired and released without it.
        acquire_and_release(&locks, &format!("{key}/{number}")).await;
        server.resume();
        settled(&servers).await;
    }
    drop(guard);
}

async fn a_killed_leader_loses_no_hold(fixture: Fixture) {
    // Elections take seconds on a busy machine.
    const TTL: Duration = Duration::from_secs(40);
    let servers = fixture.ensemble(&Setup::default());
    let (key, locks) = (fixture.key("k"), connect(&format!("{}?ttl=40s", url(&servers))));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&format!("{}?ttl=40s", url(&servers))).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    servers[leader(&servers).unwrap()].kill();
    // Longer than the TTL: the new leader must have been renewing it.
    tokio::time::sleep(TTL + Duration::from_secs(2)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(fence < next.fence());
    next.release().await.unwrap();
}

/// A follower whose leader and fellow are gone still answers reads for as long as it has not noticed. That is five minutes
/// here, for which a hold would last that the follower alone could renew.
async fn a_server_without_its_leader_renews_nothing(fixture: Fixture) {
    let servers = fixture.ensemble(&Setup { sync_limit: 600, ..Setup::default() });
    let leader = leader(&servers).unwrap();
    let (alone, others): (Vec<_>, Vec<_>) =
        servers.iter().enumerate().partition(|(number, _)| *number == (leader + 1) % 3);
    let (key, locks) = (fixture.key("k"), connect(&alone[0].1.url()));
    let body = held(&locks, &key, 2).await;
    others.iter().for_each(|(_, server)| server.pause());
    lost(body).await;
    others.iter().for_each(|(_, server)| server.resume());
}
