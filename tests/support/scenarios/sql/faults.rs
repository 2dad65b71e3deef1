//! What goes wrong while a lock is wanted, held or released.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use super::Database;
use crate::cases::{Fixture, Program};
use crate::proxy::{Mode, Proxy};
use crate::scenarios::{
    acquire_and_release, connect, granted, held, lost, nothing_is_left, queued, something_is_there,
};
use crate::{HANG_LIMIT, once_within};

pub async fn a_lost_table_stops_the_body_and_fences_go_on<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let locks = connect(&server.url());
    let guard = locks.lock("k").acquire().await.unwrap();
    let fence = guard.fence();
    guard.release().await.unwrap();
    let body = held(&locks, "k", 3).await;
    server.sql("DROP TABLE distributed_locks");
    lost(body).await;
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(fence < guard.fence(), "{fence:?} and then {:?}", guard.fence());
    guard.release().await.unwrap();
}

/// Requests for locks that begin with `key` have timed out, and arrive after their sender has withdrawn them by another
/// connection. They would lapse only when it is too late. Before that, this client acquires each of the locks `first`.
pub async fn late_requests_are_withdrawn(server: &impl Database, key: &str, first: &[String]) {
    let proxy = Proxy::to(server.address());
    let url = server.url_at(&format!("{},{}", proxy.addr(), server.endpoint()));
    let locks = connect(&format!("{url}&ttl=90s&connect_timeout=6s"));
    for key in first {
        acquire_and_release(&locks, key).await;
    }
    proxy.set(Mode::Silent);
    // Several, for a request to cancel what runs, where there is one, arrives late as well, and may meet one of them.
    let acquiring = (0..5).map(|number| tokio::spawn(locks.lock(format!("{key}/{number}")).wait(HANG_LIMIT).acquire()));
    for acquired in acquiring.collect::<Vec<_>>() {
        granted(acquired).await.release().await.unwrap();
    }
    assert_eq!(server.left(key), [""; 0]);
    proxy.set(Mode::Pass);
    something_is_there(server, key).await;
    nothing_is_left(server, key).await;
}

/// Nor does a waiter wait for longer than `soon` once it is its turn.
pub async fn ended_connections_lose_nothing(server: &impl Database, soon: Duration) {
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    once_within(soon, async || {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        for _ in 0..5 {
            assert_ne!(server.end_connections(), 0);
            acquire_and_release(&ours, "other").await;
        }
        guard.check().unwrap();
        assert!(!waiting.is_finished());
        let released = Instant::now();
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
    nothing_is_left(server, "").await;
}
