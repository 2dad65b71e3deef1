//! What goes wrong while a lock is wanted, held or given back.

use crate::{SOON, Store, client, connect, in_line, nothing_is_left, standing};
use distributed_locks::{ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::child::{Child, binary};
use support::postgres::{Pool, Postgres, Setup};
use support::proxy::{Mode, Proxy};
use support::{cut_off, eventually};

pub(crate) async fn a_deleted_row_stops_the_body(store: Store) {
    let (server, key, locks) = (store.postgres(), store.key("k"), client(&store));
    let body = held(&locks, &key, 3).await;
    server.psql(&format!("DELETE FROM distributed_locks WHERE name = '{key}'"));
    let deleted = Instant::now();
    let error = lost(body).await;
    assert!(error.to_string().contains("gone from the store"), "{error}");
    assert!(deleted.elapsed() < Duration::from_millis(1500), "not at the next renewal: {:?}", deleted.elapsed());
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_lost_table_stops_the_body_and_fences_go_on(store: Store) {
    let server = store.start(Setup::default());
    let locks = connect(&server.url());
    let guard = locks.lock("k").acquire().await.unwrap();
    let fence = guard.fence();
    guard.release().await.unwrap();
    let body = held(&locks, "k", 3).await;
    server.psql("DROP TABLE distributed_locks");
    lost(body).await;
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(fence < guard.fence(), "{fence:?} and then {:?}", guard.fence());
    guard.release().await.unwrap();
}

/// A client behind a proxy whose session is there already.
async fn behind_proxy(server: &Postgres) -> (Proxy, Locks) {
    let proxy = Proxy::to(server.address());
    let locks = connect(&format!("{}&ttl=6s&connect_timeout=2s", server.url_at(&proxy.addr().to_string())));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    (proxy, locks)
}

pub(crate) async fn a_lost_answer_to_an_acquire_leaves_nothing(store: Store) {
    let (server, key) = (store.postgres(), store.key("k"));
    let (proxy, locks) = behind_proxy(&server).await;
    proxy.set(Mode::Unanswered);
    let error = locks.lock(&key).wait(Duration::from_millis(400)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    eventually(SOON, async || if standing(&server, &key) == "1" { Ok(()) } else { Err("not yet there") }).await;
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    let begun = Instant::now();
    nothing_is_left(&server, &key).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "it lapsed and was not withdrawn: {:?}", begun.elapsed());
    locks.lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

/// Requests that were given up arrive after their sender has withdrawn them by another way.
pub(crate) async fn a_late_request_is_withdrawn(store: Store) {
    let (server, key) = (store.postgres(), store.key("k"));
    let proxy = Proxy::to(server.address());
    let url = server.url_at(&format!("{},{}", proxy.addr(), server.endpoint()));
    let locks = connect(&format!("{url}&ttl=6s&connect_timeout=2s"));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    proxy.set(Mode::Silent);
    // Several, for the request to cancel what runs arrives late as well, and may meet one of them.
    let taking = (0..5).map(|number| tokio::spawn(locks.lock(format!("{key}/{number}")).wait(SOON).acquire()));
    for taken in taking.collect::<Vec<_>>() {
        taken.await.unwrap().unwrap().release().await.unwrap();
    }
    assert_eq!(standing(&server, &key), "0");
    proxy.set(Mode::Pass);
    let begun = Instant::now();
    eventually(SOON, async || if standing(&server, &key) == "0" { Err("not yet there") } else { Ok(()) }).await;
    nothing_is_left(&server, &key).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "it lapsed and was not withdrawn: {:?}", begun.elapsed());
}

pub(crate) async fn dropped_acquires_leave_nothing(store: Store) {
    let (server, key, locks) = (store.postgres(), store.key("k"), client(&store));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    for number in 0..50_u64 {
        // From "nothing was sent" to "the answer is there".
        let limit = Duration::from_micros(number * 60);
        let acquiring = locks.lock(format!("{key}/{number}")).acquire();
        drop(tokio::time::timeout(limit, acquiring).await);
    }
    nothing_is_left(&server, &key).await;
}

pub(crate) async fn a_paused_process_stops_on_resume(store: Store) {
    let (server, key, locks) = (store.postgres(), store.key("k"), client(&store));
    let mut worker = Child::start(binary("worker").args(["hold", "2", &server.url(), &key]));
    worker.expect_line("start", SOON);
    let fence = || server.psql(&format!("SELECT fence FROM distributed_locks WHERE name = '{key}'"));
    let theirs: u64 = fence().parse().unwrap();
    worker.pause();
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    assert!(theirs < guard.fence().number(), "{theirs} and then {:?}", guard.fence());
    worker.resume();
    worker.expect_line("end", Duration::from_secs(2));
    worker.expect_line("refused", Duration::from_secs(2));
    guard.check().unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn ended_backends_lose_nothing(store: Store) {
    let server = store.start(Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    in_line(&server, "k", 1).await;
    for _ in 0..3 {
        let ended = server.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'");
        assert_ne!(ended, "0");
        ours.lock("other").acquire().await.unwrap().release().await.unwrap();
    }
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    let released = Instant::now();
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
    assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
    nothing_is_left(&server, "").await;
}

/// A pool in transaction mode lets no notification through.
pub(crate) async fn behind_a_pool_waiters_ask(store: Store) {
    let server = store.start(Setup::default());
    let pool = Pool::before(&server);
    let url = server.url_at(&pool.endpoint());
    let (ours, theirs) = (connect(&url), connect(&url));
    for round in 0..5 {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        in_line(&server, "k", 1).await;
        assert!(theirs.lock("k2").try_acquire().await.unwrap().is_some());
        let released = Instant::now();
        guard.release().await.unwrap();
        tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
        assert!(released.elapsed() < Duration::from_secs(1), "{:?} in round {round}", released.elapsed());
    }
    let body = held(&ours, "k", 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!body.is_finished(), "not renewed");
    body.abort();
    nothing_is_left(&server, "k").await;
}

pub(crate) async fn cut_off_twenty_times(store: Store) {
    let server = store.postgres();
    let keys: Vec<String> = (0..20).map(|number| store.key(&number.to_string())).collect();
    let closest = cut_off::each_before_another_starts(&keys, server.address(), |at| server.url_at(at)).await;
    println!("the closest of 20: {} ms between the end and the next start", closest.as_millis());
}
