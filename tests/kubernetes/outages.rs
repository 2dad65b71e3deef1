//! The API server, or its etcd, is away for a while.

use crate::{Case, Fixture};
use distributed_locks::store::{Entry, WhenBusy};
use distributed_locks::{ErrorKind, Holder, Key};
use std::sync::Arc;
use std::time::Duration;
use support::kubernetes::Setup;
use support::scenarios::{acquire_and_release, connect, outages};
use support::stores::kubernetes_at;
use support::{cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_restarted_api_server_is_ridden_out,
        a_restarted_etcd_is_ridden_out,
        an_etcd_that_is_paused_too_long_stops_the_body,
        a_killed_api_server_stops_the_body,
        an_etcd_that_was_put_back_ends_the_session,
    ]
}

/// Beyond the TTL that ran when it went down: the Leases are renewed at the new one.
async fn a_restarted_api_server_is_ridden_out(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::is_ridden_out_beyond_the_ttl(&server, async |server| server.restart()).await;
}

async fn a_restarted_etcd_is_ridden_out(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::is_ridden_out(&server, async |server| {
        server.etcd().restart();
        server.await_ready();
    })
    .await;
}

/// The API server answers, but only that it cannot.
async fn an_etcd_that_is_paused_too_long_stops_the_body(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::ends_the_hold(
        &server,
        |server| server.etcd().pause(),
        |server| {
            server.etcd().resume();
            server.await_ready();
        },
    )
    .await;
}

async fn a_killed_api_server_stops_the_body(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::ends_the_hold(&server, |server| server.kill(), |server| server.restart()).await;
}

/// Its versions begin again with smaller ones, and whoever held a lock before may not be alone with it.
async fn an_etcd_that_was_put_back_ends_the_session(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let store = kubernetes_at(&server.endpoint(), Some(server.file("ca.pem")), server.file("token"));
    let session = store.open(Duration::from_secs(90)).await.unwrap();
    let entry = Arc::new(Entry::new(Key::new("/k").unwrap(), 1, Holder::unknown().into()));
    session.enter(entry.clone(), WhenBusy::Refuse).await.unwrap();
    session.renew().await.unwrap();
    server.kill();
    let saved = server.etcd().save();
    server.restart();
    for _ in 0..50 {
        eventually(async || session.renew().await).await;
    }
    server.kill();
    server.etcd().restore(&saved);
    server.restart();
    let error = eventually(async || match session.renew().await {
        Err(error) if error.kind() != ErrorKind::Unavailable => Ok(error),
        other => Err(other),
    });
    let error = error.await;
    assert!(error.kind() == ErrorKind::Lost && error.to_string().contains("went back"), "{error}");
    session.close().await.unwrap();
    acquire_and_release(&connect(&server.url()), "/k").await;
}
