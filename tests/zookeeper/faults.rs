//! What goes wrong while a lock is wanted, held or given back.

use crate::{Store, cli, client, nothing_is_left};
use distributed_locks::store::{Change, Entered, Entry, Store as _, WhenBusy};
use distributed_locks::{ErrorKind, Guard, Holder, Key, Locks};
use locks_runtime::stores::zookeeper;
use locks_runtime::stores::zookeeper::{Config, Layout};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::child::{Child, binary};
use support::eventually;
use support::proxy::{Mode as Network, Proxy};
use support::zookeeper::{Setup, ZooKeeper, url};

const SOON: Duration = Duration::from_secs(15);

fn connect(url: &str) -> Locks {
    Locks::connect(url).unwrap()
}

/// A client behind a proxy whose session is there already.
async fn behind_proxy(server: &ZooKeeper) -> (Proxy, Locks) {
    let proxy = Proxy::to(server.address());
    let locks = connect(&format!("zookeeper://{}?ttl=20s&connect_timeout=2s", proxy.addr()));
    locks.lock("/warm").acquire().await.unwrap().release().await.unwrap();
    (proxy, locks)
}

pub(crate) async fn a_deleted_node_stops_the_body(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let body = held(&locks, &key, 4).await;
    // Long holds are watched from the first renewal on.
    eventually(SOON, async || match server.command("wchp") {
        Some(watched) if watched.contains(&key) => Ok(()),
        watched => Err(watched),
    })
    .await;
    let mut cli = cli(&store, &server);
    cli.say(&format!("delete {}", server.ephemerals(&key)[0]));
    let error = lost(body).await;
    assert!(error.to_string().contains("deleted"), "{error}");
    // The client goes on.
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_lost_answer_to_an_acquire_leaves_nothing(store: Store) {
    let (server, key) = (store.zookeeper(), store.key("k"));
    let (proxy, locks) = behind_proxy(&server).await;
    // The lock's node is there, so that the first request is the one that matters.
    client(&store).lock(&key).acquire().await.unwrap().release().await.unwrap();
    proxy.set(Network::Unanswered);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    eventually(SOON, async || if server.ephemerals(&key).is_empty() { Err("not yet there") } else { Ok(()) }).await;
    proxy.set(Network::Refuse);
    proxy.set(Network::Pass);
    nothing_is_left(&server, &key).await;
    // The client may not have heard of it yet.
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
}

/// The entry whose creation was not answered is found by its name, and keeps its place.
pub(crate) async fn a_lost_answer_is_the_same_place_in_line(store: Store) {
    let (server, key) = (store.zookeeper(), store.key("k"));
    client(&store).lock(&key).acquire().await.unwrap().release().await.unwrap();
    let proxy = Proxy::to(server.address());
    let config = Config {
        endpoints: vec![proxy.addr().to_string()],
        user: None,
        root: String::new(),
        layout: Layout::Curator,
        connect_timeout: Duration::from_secs(2),
        tls: None,
    };
    let session = zookeeper::ZooKeeper::new(config).unwrap().open(Duration::from_secs(30)).await.unwrap();
    let entry = Entry::new(Key::new(&key).unwrap(), 7, Holder::unknown().into());
    let entry = Arc::new(entry);
    proxy.set(Network::Unanswered);
    let error = session.enter(entry.clone(), WhenBusy::Queue).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let there = server.ephemerals(&key);
    assert_eq!(there.len(), 1, "created although it was not answered");
    proxy.set(Network::Refuse);
    proxy.set(Network::Pass);
    let again = eventually(SOON, async || session.enter(entry.clone(), WhenBusy::Queue).await).await;
    assert!(matches!(again, Entered::Held(_)), "{again:?}");
    assert_eq!(server.ephemerals(&key), there);
    session.leave(entry).await.unwrap();
    assert_eq!(server.ephemerals(&key), [""; 0]);
    session.close().await.unwrap();
}

pub(crate) async fn dropped_acquires_leave_nothing(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    locks.lock("/warm").acquire().await.unwrap().release().await.unwrap();
    for number in 0..50_u64 {
        // From "nothing was sent" to "the answer is there": a round trip takes a millisecond or two here.
        let limit = Duration::from_micros(number * 120);
        let acquiring = locks.lock(format!("{key}/{number}")).acquire();
        drop(tokio::time::timeout(limit, acquiring).await);
    }
    nothing_is_left(&server, &key).await;
}

pub(crate) async fn a_late_create_is_withdrawn(store: Store) {
    let (server, key) = (store.zookeeper(), store.key("k"));
    let (proxy, locks) = behind_proxy(&server).await;
    // The request is on its way, but will arrive after its sender has given it up.
    proxy.set(Network::Silent);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Network::Pass);
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    nothing_is_left(&server, &key).await;
}

pub(crate) async fn a_restarted_server_is_ridden_out(store: Store) {
    let server = store.own(&Setup::default());
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=12s", server.url())));
    let guard: Guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&server.url()).lock(&key).acquire());
    eventually(SOON, async || if server.ephemerals(&key).len() == 2 { Ok(()) } else { Err("nobody waits") }).await;
    server.kill();
    server.restart();
    // Beyond the TTL that ran when it went down: the session is renewed at the new one.
    tokio::time::sleep(Duration::from_secs(14)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "{:?}", waiting.await.unwrap());
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
    nothing_is_left(&server, &key).await;
}

pub(crate) async fn a_server_that_is_paused_too_long_stops_the_body(store: Store) {
    let server = store.own(&Setup::default());
    let (key, locks) = (store.key("k"), connect(&format!("{}?connect_timeout=2s", server.url())));
    let body = held(&locks, &key, 2).await;
    server.pause();
    let paused = Instant::now();
    lost(body).await;
    assert!(paused.elapsed() < Duration::from_secs(2), "told after {:?}, with a TTL of 2 s", paused.elapsed());
    let error = locks.lock(&key).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.resume();
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    nothing_is_left(&server, &key).await;
}

fn leader(servers: &[ZooKeeper]) -> Option<usize> {
    servers.iter().position(ZooKeeper::leads)
}

/// One that was stopped while it led believes for a moment that it still does.
async fn settled(servers: &[ZooKeeper]) {
    eventually(2 * SOON, async || {
        let modes: Vec<_> = servers.iter().filter_map(|server| server.command("srvr")).collect();
        let count = |mode: &str| modes.iter().filter(|answer| answer.contains(mode)).count();
        match (count("Mode: leader"), count("Mode: follower")) {
            (1, 2) => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
}

pub(crate) async fn a_stopped_server_is_left_for_another(store: Store) {
    let servers = store.ensemble();
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=8s", url(&servers))));
    let guard = locks.lock(&key).acquire().await.unwrap();
    for (number, server) in servers.iter().enumerate() {
        server.pause();
        let other = locks.lock(format!("{key}/{number}")).wait(2 * SOON).acquire().await.unwrap();
        other.release().await.unwrap();
        server.resume();
        settled(&servers).await;
    }
    drop(guard);
}

pub(crate) async fn a_killed_leader_loses_no_hold(store: Store) {
    let servers = store.ensemble();
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=8s", url(&servers))));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&url(&servers)).lock(&key).acquire());
    servers[leader(&servers).unwrap()].kill();
    // Longer than the TTL: the new leader must have been renewing it.
    tokio::time::sleep(Duration::from_secs(10)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(fence < next.fence());
    next.release().await.unwrap();
}

/// A follower whose leader and fellow are gone still answers who reads, for as long as it has not noticed.
pub(crate) async fn a_server_without_its_leader_renews_nothing(store: Store) {
    let servers = store.ensemble();
    let leader = leader(&servers).unwrap();
    let (alone, others): (Vec<_>, Vec<_>) =
        servers.iter().enumerate().partition(|(number, _)| *number == (leader + 1) % 3);
    let (key, locks) = (store.key("k"), connect(&alone[0].1.url()));
    let body = held(&locks, &key, 2).await;
    others.iter().for_each(|(_, server)| server.pause());
    let paused = Instant::now();
    lost(body).await;
    assert!(paused.elapsed() < Duration::from_secs(2), "told after {:?}, with a TTL of 2 s", paused.elapsed());
    others.iter().for_each(|(_, server)| server.resume());
}

pub(crate) async fn a_paused_process_stops_on_resume(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let mut worker = Child::start(binary("worker").args(["hold", "2", &server.url(), &key]));
    worker.expect_line("start", SOON);
    worker.pause();
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    worker.resume();
    worker.expect_line("end", Duration::from_secs(2));
    worker.expect_line("refused", Duration::from_secs(5));
    guard.check().unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn a_watch_goes_on_after_a_broken_connection(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let proxy = Proxy::to(server.address());
    let mut watch = connect(&format!("zookeeper://{}", proxy.addr())).watch(&key).await.unwrap();
    for _ in 0..3 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let told = tokio::time::timeout(SOON, watch.next()).await.unwrap();
        assert!(matches!(told, Some(Change::Acquired(..))), "{told:?}");
        proxy.set(Network::Refuse);
        guard.release().await.unwrap();
        proxy.set(Network::Pass);
        let told = tokio::time::timeout(SOON, watch.next()).await.unwrap();
        assert!(matches!(told, Some(Change::Released(..))), "{told:?}");
    }
}
