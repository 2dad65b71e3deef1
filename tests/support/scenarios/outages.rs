//! The server is away for a while.

use std::time::Duration;

use distributed_locks::ErrorKind;

use super::{acquire_and_release, connect, granted, held, lost, nothing_is_left, queued};
use crate::Server;
use crate::cases::{Fixture, Program};

/// In seconds. A renewal is due with each third, and the server may be away for most of the rest: on a busy machine a
/// server in Java starts slowly.
const TTL: u64 = 48;

/// One holds and another waits while `outage` happens; neither loses anything.
pub async fn is_ridden_out<S: Server>(server: &S, outage: impl AsyncFnOnce(&S)) {
    stays_ridden_out(server, Duration::from_secs(TTL / 3 + 1), outage).await;
}

/// As [`is_ridden_out`], and beyond the TTL that ran at the outage.
pub async fn is_ridden_out_beyond_the_ttl<S: Server>(server: &S, outage: impl AsyncFnOnce(&S)) {
    stays_ridden_out(server, Duration::from_secs(TTL + 2), outage).await;
}

async fn stays_ridden_out<S: Server>(server: &S, after: Duration, outage: impl AsyncFnOnce(&S)) {
    let key = "/ridden/out";
    let client = || connect(&server.url_with(&format!("ttl={TTL}s")));
    let (ours, theirs) = (client(), client());
    let guard = ours.lock(key).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock(key).acquire());
    queued(&ours, key, 1).await;
    outage(server).await;
    // The renewals must have begun again, or the hold ends meanwhile or soon after.
    tokio::time::sleep(after).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(fence < next.fence(), "{fence:?} and then {:?}", next.fence());
    next.release().await.unwrap();
    acquire_and_release(&ours, key).await;
    nothing_is_left(server, key).await;
}

/// A server that answers nothing for a while.
pub async fn a_paused_server_is_ridden_out<P: Program>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    is_ridden_out(&server, async |server| {
        server.pause();
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.resume();
    })
    .await;
}

/// As [`ends_the_hold`].
pub async fn a_server_that_is_paused_too_long_stops_the_body<P: Program>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    ends_the_hold(&server, |server| server.pause(), |server| server.resume()).await;
}

/// From `absence` to `end` no client can renew or acquire. That the body ends within its TTL is more than
/// is looked at here, and shown by [`cut_off`](super::cut_off): there another process waits for the lock.
pub async fn ends_the_hold<S: Server>(server: &S, absence: impl FnOnce(&S), end: impl FnOnce(&S)) {
    let key = "/ended";
    let (ours, theirs) = (connect(&server.url_with("connect_timeout=4s")), connect(&server.url_with("ttl=600s")));
    let body = held(&ours, key, 5).await;
    let waiting = tokio::spawn(theirs.lock(key).acquire());
    queued(&theirs, key, 1).await;
    absence(server);
    lost(body).await;
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    let error = ours.lock(key).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    end(server);
    let guard = granted(waiting).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
    acquire_and_release(&ours, key).await;
    nothing_is_left(server, key).await;
}
