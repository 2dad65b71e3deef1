//! What goes wrong while a lock is wanted, held or given back.

use crate::{client, keys};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::cases::Store;
use support::child::{Child, binary};
use support::etcd::{Etcd, Setup};
use support::eventually;
use support::proxy::{Mode, Proxy};

const SOON: Duration = Duration::from_secs(15);

async fn nothing_is_left(etcd: &Etcd, key: &str) {
    eventually(SOON, async || match etcd.ctl(&["get", "--prefix", "--keys-only", key]).trim() {
        "" => Ok(()),
        left => Err(left.to_owned()),
    })
    .await;
}

/// The lease that holds the entry at `key`.
fn lease_of(etcd: &Etcd, key: &str) -> String {
    let shown = etcd.ctl(&["get", "--prefix", key, "-w", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    format!("{:x}", shown["kvs"][0]["lease"].as_i64().unwrap())
}

pub(crate) async fn an_outside_revoke_stops_the_body(store: Store) {
    let (etcd, key, locks) = (store.etcd(), store.key("k"), client(&store));
    let body = held(&locks, &key, 3).await;
    etcd.ctl(&["lease", "revoke", &lease_of(&etcd, &key)]);
    let revoked = Instant::now();
    lost(body).await;
    assert!(revoked.elapsed() < Duration::from_millis(1500), "noticed at the next renewal: {:?}", revoked.elapsed());
    // The client goes on with a new session.
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_deleted_key_stops_the_body(store: Store) {
    let (etcd, key, locks) = (store.etcd(), store.key("k"), client(&store));
    let body = held(&locks, &key, 3).await;
    // Long holds are watched from the first renewal on, and from where the hold began: this deletion lies before it.
    etcd.ctl(&["del", "--prefix", &key]);
    let error = lost(body).await;
    assert!(error.to_string().contains("deleted"), "{error}");
    // Later ones are seen at once.
    let body = held(&locks, &key, 3).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    etcd.ctl(&["del", "--prefix", &key]);
    let deleted = Instant::now();
    lost(body).await;
    assert!(deleted.elapsed() < Duration::from_millis(500), "{:?}", deleted.elapsed());
}

pub(crate) async fn compaction_while_waiting_is_never_seen(store: Store) {
    let etcd = store.start(&Setup::default());
    let (key, locks, other) = (store.key("k"), connect(&etcd.url()), connect(&etcd.url()));
    let guard = other.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    for number in 0..10 {
        etcd.ctl(&["put", "noise", &number.to_string()]);
        let shown: serde_json::Value = serde_json::from_str(&etcd.ctl(&["get", "noise", "-w", "json"])).unwrap();
        etcd.ctl(&["compact", &shown["header"]["revision"].to_string()]);
    }
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

fn connect(url: &str) -> Locks {
    Locks::connect(url).unwrap()
}

/// A client behind a proxy whose session is there already.
async fn behind_proxy(etcd: &Etcd) -> (Proxy, Locks) {
    let proxy = Proxy::to(etcd.address());
    let locks = connect(&format!("{}?ttl=20s&connect_timeout=2s", etcd.url_at(&proxy.addr().to_string())));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    (proxy, locks)
}

pub(crate) async fn a_lost_answer_to_an_acquire_leaves_nothing(store: Store) {
    let (etcd, key) = (store.etcd(), store.key("k"));
    let (proxy, locks) = behind_proxy(&etcd).await;
    proxy.set(Mode::Unanswered);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    eventually(SOON, async || if keys(&store, &key).is_empty() { Err("not yet there") } else { Ok(()) }).await;
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    nothing_is_left(&etcd, &key).await;
    locks.lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn dropped_acquires_leave_nothing(store: Store) {
    let (etcd, key, locks) = (store.etcd(), store.key("k"), client(&store));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    for number in 0..50_u64 {
        // From "nothing was sent" to "the answer is there": a round trip takes under a millisecond here.
        let limit = Duration::from_micros(number * 60);
        let acquiring = locks.lock(format!("{key}/{number}")).acquire();
        drop(tokio::time::timeout(limit, acquiring).await);
    }
    nothing_is_left(&etcd, &key).await;
}

pub(crate) async fn a_late_put_is_withdrawn(store: Store) {
    let (etcd, key) = (store.etcd(), store.key("k"));
    let (proxy, locks) = behind_proxy(&etcd).await;
    // The request is on its way, but will arrive after its sender has given it up and withdrawn it elsewhere.
    proxy.set(Mode::Silent);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Mode::Pass);
    tokio::time::sleep(Duration::from_millis(200)).await;
    nothing_is_left(&etcd, &key).await;
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_stopped_member_is_left_for_another(store: Store) {
    let cluster = store.cluster(3);
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=8s", cluster.url())));
    let guard = locks.lock(&key).acquire().await.unwrap();
    for number in 0..3 {
        cluster.member(number).pause();
        let other = format!("{key}/{number}");
        let begun = Instant::now();
        locks.lock(&other).wait(SOON).acquire().await.unwrap().release().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        cluster.member(number).resume();
        cluster.await_leader().await;
    }
    guard.release().await.unwrap();
}

pub(crate) async fn a_killed_leader_loses_no_hold(store: Store) {
    let cluster = store.cluster(3);
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=8s", cluster.url())));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&cluster.url()).lock(&key).acquire());
    cluster.member(cluster.await_leader().await).kill();
    cluster.await_leader().await;
    // Longer than the TTL: the new leader must have been renewing it.
    tokio::time::sleep(Duration::from_secs(9)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
}

pub(crate) async fn a_restarted_server_is_ridden_out(store: Store) {
    let etcd = store.start(&Setup { fast_election: true, ..Setup::default() });
    let (key, locks) = (store.key("k"), connect(&format!("{}?ttl=10s", etcd.url())));
    let guard: Guard = locks.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&etcd.url()).lock(&key).acquire());
    etcd.restart();
    tokio::time::sleep(Duration::from_secs(4)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "{:?}", waiting.await.unwrap());
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn a_paused_process_stops_on_resume(store: Store) {
    let (etcd, key, locks) = (store.etcd(), store.key("k"), client(&store));
    let mut worker = Child::start(binary("worker").args(["hold", "2", &etcd.url(), &key]));
    worker.expect_line("start", SOON);
    worker.pause();
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    worker.resume();
    worker.expect_line("end", Duration::from_secs(2));
    worker.expect_line("refused", Duration::from_secs(5));
    guard.check().unwrap();
    guard.release().await.unwrap();
}
