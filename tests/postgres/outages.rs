//! The server goes away, and comes back.

use crate::{SOON, Store, connect, in_line};
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::eventually;
use support::postgres::{Postgres, Setup};

/// Somebody holds and somebody waits while `outage` happens; neither loses anything.
async fn ridden_out(server: &Postgres, outage: impl AsyncFnOnce(&Postgres)) {
    let (ours, theirs) = (connect(&format!("{}&ttl=12s", server.url())), connect(&format!("{}&ttl=12s", server.url())));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    in_line(server, "k", 1).await;
    outage(server).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    guard.release().await.unwrap();
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
    ours.lock("k").acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_crashed_server_is_ridden_out(store: Store) {
    let server = store.start(Setup::default());
    ridden_out(&server, async |server| {
        server.restart();
        // A renewal's time: they must have begun again.
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
}

pub(crate) async fn a_server_that_shuts_down_is_ridden_out(store: Store) {
    let server = store.start(Setup::default());
    ridden_out(&server, async |server| {
        server.shut_down();
        server.launch();
        server.await_ready();
    })
    .await;
}

pub(crate) async fn a_paused_server_is_ridden_out(store: Store) {
    let server = store.start(Setup::default());
    ridden_out(&server, async |server| {
        server.pause();
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.resume();
    })
    .await;
}

pub(crate) async fn a_server_paused_beyond_the_ttl_stops_the_body(store: Store) {
    let server = store.start(Setup::default());
    let locks = connect(&server.url());
    let body = held(&locks, "k", 2).await;
    server.pause();
    let paused = Instant::now();
    lost(body).await;
    assert!(paused.elapsed() < Duration::from_secs(2), "beyond its TTL: {:?}", paused.elapsed());
    server.resume();
    locks.lock("k").wait(SOON).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_promoted_standby_goes_on(store: Store) {
    let primary = store.start(Setup::default());
    let first = connect(&primary.url());
    let fence = first.lock("k").acquire().await.unwrap().fence();
    first.close().await;
    let standby = primary.standby();
    store.remember(standby.log());
    // The standby first: it takes no writes, and is passed over.
    let url = primary.url_at(&format!("{},{}", standby.endpoint(), primary.endpoint()));
    let (ours, theirs) = (connect(&format!("{url}&ttl=12s")), connect(&format!("{url}&ttl=12s")));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    in_line(&primary, "k", 1).await;
    // What has not come over is lost with an asynchronous standby.
    let written = primary.psql("SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
    eventually(SOON, async || if standby.psql(&replayed) == "t" { Ok(()) } else { Err("lags") }).await;
    primary.kill();
    standby.promote();
    tokio::time::sleep(Duration::from_secs(5)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    assert!(fence < guard.fence());
    guard.release().await.unwrap();
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
}
