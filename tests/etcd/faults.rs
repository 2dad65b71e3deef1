//! What goes wrong while a lock is wanted, held or released.

use std::time::{Duration, Instant};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::Setup;
use support::scenarios::{acquire_and_release, connect, faults, granted, held, lost, outages, queued};
use support::{Server, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        faults::a_late_request_is_withdrawn,
        an_outside_revoke_stops_the_body,
        a_deletion_is_noticed_at_once,
        compaction_while_waiting_is_never_seen,
        a_stopped_member_is_left_for_another,
        a_killed_leader_loses_no_hold,
        a_restarted_server_is_ridden_out,
    ]
}

async fn an_outside_revoke_stops_the_body(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    faults::the_next_renewal_stops_the_body(&etcd, |etcd, key| {
        etcd.ctl(&["lease", "revoke", &etcd.lease(key)]);
    })
    .await;
}

/// Long holds are watched from the first renewal on. By the next one it would be noticed only seconds later.
async fn a_deletion_is_noticed_at_once(fixture: Fixture) {
    const TTL: u64 = 12;
    const AT_ONCE: Duration = Duration::from_secs(2);
    let etcd = fixture.start(&Setup::default());
    let locks = connect(&etcd.url());
    let watches = || etcd.metrics().count("etcd_debugging_mvcc_watcher_total", &[]);
    once_within(AT_ONCE, async || {
        let key = fixture.key("k");
        let before = watches();
        let body = held(&locks, &key, TTL).await;
        eventually(async || if watches() > before { Ok(()) } else { Err("not yet watched") }).await;
        etcd.delete(&key);
        let deleted = Instant::now();
        let error = lost(body).await;
        let took = deleted.elapsed();
        assert!(took > AT_ONCE || error.to_string().contains("deleted"), "{error}");
        eventually(async || if watches() <= before { Ok(()) } else { Err("still watched") }).await;
        took
    })
    .await;
}

async fn compaction_while_waiting_is_never_seen(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    let (key, locks, other) = (fixture.key("k"), connect(&etcd.url()), connect(&etcd.url()));
    let guard = other.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&other, &key, 1).await;
    for number in 0..10 {
        etcd.ctl(&["put", "noise", &number.to_string()]);
        let shown = etcd.json(&["get", "noise"]);
        etcd.ctl(&["compact", &shown["header"]["revision"].to_string()]);
    }
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

async fn a_stopped_member_is_left_for_another(fixture: Fixture) {
    let cluster = fixture.cluster(3);
    // Longer than all the elections that follow.
    let (key, locks) = (fixture.key("k"), connect(&format!("{}?ttl=120s", cluster.url())));
    let guard = locks.lock(&key).acquire().await.unwrap();
    for number in 0..3 {
        cluster.member(number).pause();
        // It is resumed only when the lock has been acquired and released without it.
        acquire_and_release(&locks, &format!("{key}/{number}")).await;
        cluster.member(number).resume();
        cluster.await_leader().await;
    }
    guard.release().await.unwrap();
}

async fn a_killed_leader_loses_no_hold(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(20);
    let cluster = fixture.cluster(3);
    let (key, locks) = (fixture.key("k"), connect(&format!("{}?ttl=20s", cluster.url())));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&cluster.url()).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    cluster.member(cluster.await_leader().await).kill();
    cluster.await_leader().await;
    // Longer than the TTL: the new leader must have been renewing it.
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

async fn a_restarted_server_is_ridden_out(fixture: Fixture) {
    let etcd = fixture.start(&Setup { fast_election: true, ..Setup::default() });
    outages::is_ridden_out(&etcd, async |etcd| etcd.restart()).await;
}
