//! What a lock costs, by the server's own count.

use crate::{Case, Fixture};
use distributed_locks::Guard;
use std::time::{Duration, Instant};
use support::scenarios::cost::{self, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet, quiet_client};
use support::scenarios::{connect, granted};
use support::zookeeper::Setup;
use support::{Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        an_uncontended_pair_is_one_round_trip_each,
        a_busy_try_leaves_nothing,
        a_release_wakes_one,
        a_lapsing_lock_has_no_connection,
        what_stays_behind_is_removed_by_the_server;
        slow:
        a_thousand_locks_are_one_session,
        a_thousand_waiters_are_one_node_and_one_watch,
    ]
}

async fn an_uncontended_pair_is_one_round_trip_each(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    // Create and list, at once; and delete.
    let (acquire, release) =
        (cost([("requests", 2), ("transactions", 1)]), cost([("requests", 1), ("transactions", 1)]));
    cost::an_uncontended_pair_costs(&server, &locks, &acquire, &release).await;
    cost::an_uncontended_pair_is_two_round_trips(&server).await;
}

async fn a_busy_try_leaves_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    // Create and list, read the holder's record, and delete.
    let work = cost([("requests", 4), ("transactions", 2)]);
    let other = quiet_client(&server).await;
    cost::a_busy_try_costs(&server, &locks, &other, &work).await;
}

async fn a_thousand_locks_are_one_session(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    assert_eq!(server.count("zk_global_sessions"), 1);
    // From the next renewal on each hold is watched.
    eventually(async || match server.count("zk_watch_count") {
        1000 => Ok(()),
        watches => Err(watches),
    })
    .await;
    let (begun, before) = (Instant::now(), server.cost());
    // Three renewals' time.
    tokio::time::sleep(RENEWED + Duration::from_millis(200)).await;
    let (sent, during) = (server.cost_since(&before), begun.elapsed());
    println!("a thousand locks held: {sent:?} in {during:?} at a TTL of {RENEWED:?}");
    // A renewal is due with each third of the TTL, or a tenth of that sooner, and a ping when nothing else was sent for
    // half of that. A busy machine makes both late.
    let most = at_most(during, RENEWED * 3 / 10) + at_most(during, RENEWED * 3 / 20);
    assert!(sent["requests"] <= most, "{sent:?} for the renewals and pings of {during:?}");
    assert!(!sent.contains_key("transactions"), "holding costs nothing on disk: {sent:?}");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(server.left("/many"), [""; 0]);
    assert_eq!(server.count("zk_global_sessions"), 0);
}

async fn a_thousand_waiters_are_one_node_and_one_watch(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let guard = quiet_client(&server).await.lock("/pair").acquire().await.unwrap();
    let waiters = (0..1000).map(|_| {
        let waiting = locks.lock("/pair").acquire();
        tokio::spawn(async move { waiting.await.unwrap().release().await.unwrap() })
    });
    let waiters: Vec<_> = waiters.collect();
    eventually(async || match (server.left("/pair").len(), server.count("zk_watch_count")) {
        (2, 1) => Ok(()),
        seen => Err(seen),
    })
    .await;
    assert_eq!(server.count("zk_global_sessions"), 2);
    guard.release().await.unwrap();
    for waiter in waiters {
        in_time(waiter).await.unwrap();
    }
    assert_eq!(server.left("/pair"), [""; 0]);
}

/// Each waiter watches the one before it: a release notifies the next one only, which lists the queue again.
async fn a_release_wakes_one(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let guard = locks.lock("/pair").acquire().await.unwrap();
    let mut waiters = Vec::new();
    for number in 1..=10 {
        let other = quiet_client(&server).await;
        waiters.push(tokio::spawn(async move { other.lock("/pair").acquire().await }));
        eventually(async || match server.count("zk_watch_count") {
            seen if seen == number => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
    let before = server.cost();
    guard.release().await.unwrap();
    let first = granted(waiters.remove(0)).await;
    let sent = server.cost_since(&before);
    println!("a hand-off among ten waiters: {sent:?}");
    // To delete, and to list; of the pings that are due every few minutes each client may send one.
    assert!((2..=8).contains(&sent["requests"]) && sent["transactions"] == 1, "{sent:?}");
    assert_eq!(server.count("zk_watch_count"), 9);
    waiters.iter().for_each(tokio::task::JoinHandle::abort);
    first.release().await.unwrap();
}

/// Many jobs with `hold_at_least` would else be more connections than a server allows one host.
async fn a_lapsing_lock_has_no_connection(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=60s"));
    let plain = locks.lock("/plain").acquire().await.unwrap();
    let connections = server.count("zk_num_alive_connections");
    for number in 0..5 {
        let lock = locks.lock(format!("/job/{number}")).hold_at_least(Duration::from_secs(40));
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    eventually(async || match server.count("zk_num_alive_connections") {
        seen if seen == connections => Ok(()),
        seen => Err((seen, connections)),
    })
    .await;
    assert_eq!(server.left("/job").len(), 5);
    plain.release().await.unwrap();
}

/// The nodes that the paths of locks are made of: containers, which the server looks for every minute by itself.
async fn what_stays_behind_is_removed_by_the_server(fixture: Fixture) {
    let server = fixture.start(&Setup { containers: Some(Duration::from_millis(300)), ..Setup::default() });
    let (locks, before) = (connect(&server.url()), server.count("zk_znode_count"));
    for key in ["/order/1", "/order/2/part/3", "relative/key", "/"] {
        locks.lock(key).acquire().await.unwrap().release().await.unwrap();
        assert!(server.count("zk_znode_count") > before);
    }
    eventually(async || match server.count("zk_znode_count") {
        seen if seen == before => Ok(()),
        seen => Err((seen, before)),
    })
    .await;
    locks.lock("/order/1").acquire().await.unwrap().release().await.unwrap();
}
