//! What a lock costs, by the server's own count.

use crate::Store;
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::eventually;
use support::proxy::{Mode, Proxy};
use support::zookeeper::{Setup, ZooKeeper};

const SOON: Duration = Duration::from_secs(15);

/// A server of its own, so that nobody else's requests count, and a client whose session is there already.
async fn quiet(store: &Store) -> (ZooKeeper, Locks) {
    let server = store.own(&Setup::default());
    let locks = patient(&server.endpoint());
    locks.lock("/pair").acquire().await.unwrap().release().await.unwrap();
    (server, locks)
}

/// A client whose renewals and pings are too rare to fall into a count.
fn patient(endpoint: &str) -> Locks {
    Locks::connect(format!("zookeeper://{endpoint}?ttl=600s&connect_timeout=60s")).unwrap()
}

/// Requests, and transactions.
fn counts(server: &ZooKeeper) -> (u64, u64) {
    (server.requests(), server.zxid())
}

fn since(server: &ZooKeeper, (packets, zxid): (u64, u64)) -> (u64, u64) {
    let now = counts(server);
    (now.0 - packets, now.1 - zxid)
}

pub(crate) async fn an_uncontended_pair_is_one_round_trip_each(store: Store) {
    let (server, locks) = quiet(&store).await;
    for round in 0..20 {
        let before = counts(&server);
        let guard = locks.lock("/pair").acquire().await.unwrap();
        assert_eq!(since(&server, before), (2, 1), "create and list, in round {round}");
        let before = counts(&server);
        guard.release().await.unwrap();
        assert_eq!(since(&server, before), (1, 1), "delete, in round {round}");
    }
    // The two requests are under way at once: where a round trip takes long, it takes as long once.
    let proxy = Proxy::to(server.address());
    let locks = patient(&proxy.addr().to_string());
    locks.lock("/pair").acquire().await.unwrap().release().await.unwrap();
    let there_and_back = Duration::from_millis(400);
    proxy.set(Mode::Delay(there_and_back / 2));
    let begun = Instant::now();
    let guard = locks.lock("/pair").acquire().await.unwrap();
    let acquired = begun.elapsed();
    guard.release().await.unwrap();
    let released = begun.elapsed() - acquired;
    for took in [acquired, released] {
        assert!(took >= there_and_back && took < there_and_back * 2, "{took:?} for a round trip of {there_and_back:?}");
    }
}

pub(crate) async fn a_busy_try_leaves_nothing(store: Store) {
    let (server, locks) = quiet(&store).await;
    let guard = patient(&server.endpoint()).lock("/pair").name("the other").acquire().await.unwrap();
    let before = counts(&server);
    let error = locks.lock("/pair").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(since(&server, before), (4, 2), "create and list, look who it is and delete");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().unwrap().name, "the other");
    assert_eq!(server.ephemerals("/pair").len(), 1, "only the holder");
    guard.release().await.unwrap();
}

pub(crate) async fn a_thousand_locks_are_one_session(store: Store) {
    let server = store.own(&Setup::default());
    let locks = Locks::connect(format!("{}?ttl=6s", server.url())).unwrap();
    let mut guards = Vec::new();
    for number in 0..1000 {
        guards.push(locks.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    assert_eq!(server.count("zk_global_sessions"), 1);
    // From the next renewal on each hold is watched.
    eventually(SOON, async || match server.count("zk_watch_count") {
        1000 => Ok(()),
        watches => Err(watches),
    })
    .await;
    let before = counts(&server);
    // Three renewals' time: a renewal is due every 1.8 to 2 s. Pings go out when nothing else did for 0.9 s.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let (packets, transactions) = since(&server, before);
    println!("a thousand locks held: {packets} requests in 6.2 s at a TTL of 6 s");
    assert!((3..=12).contains(&packets), "{packets} requests for three renewals and some pings");
    assert_eq!(transactions, 0, "holding costs nothing on disk");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(server.ephemerals("/many"), [""; 0]);
    assert_eq!(server.count("zk_global_sessions"), 0);
}

pub(crate) async fn a_thousand_waiters_are_one_node_and_one_watch(store: Store) {
    let (server, locks) = quiet(&store).await;
    let guard = patient(&server.endpoint()).lock("/pair").acquire().await.unwrap();
    let waiters = (0..1000).map(|_| {
        let waiting = locks.lock("/pair").acquire();
        tokio::spawn(async move { waiting.await.unwrap().release().await.unwrap() })
    });
    let waiters: Vec<_> = waiters.collect();
    eventually(SOON, async || match (server.ephemerals("/pair").len(), server.count("zk_watch_count")) {
        (2, 1) => Ok(()),
        seen => Err(seen),
    })
    .await;
    assert_eq!(server.count("zk_global_sessions"), 2);
    guard.release().await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(server.ephemerals("/pair"), [""; 0]);
}

/// Each waiter watches the one before it: a release is told to the next one only, who lists the line again.
pub(crate) async fn a_release_wakes_one(store: Store) {
    let (server, locks) = quiet(&store).await;
    let guard = locks.lock("/pair").acquire().await.unwrap();
    let mut waiters = Vec::new();
    for number in 1..=10 {
        let other = patient(&server.endpoint());
        waiters.push(tokio::spawn(async move { other.lock("/pair").acquire().await }));
        eventually(SOON, async || match server.count("zk_watch_count") {
            seen if seen == number => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
    let before = counts(&server);
    guard.release().await.unwrap();
    let first = waiters.remove(0).await.unwrap().unwrap();
    let (packets, transactions) = since(&server, before);
    println!("a hand-off among ten waiters: {packets} requests");
    // Twelve clients are there, and each may ping once.
    assert!((2..=8).contains(&packets) && transactions == 1, "{packets} requests, {transactions} transactions");
    assert_eq!(server.count("zk_watch_count"), 9);
    waiters.iter().for_each(tokio::task::JoinHandle::abort);
    first.release().await.unwrap();
}
