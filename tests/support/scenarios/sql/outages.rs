//! The server is away for a while, or another takes its place.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use super::{Database, renewed};
use crate::cases::{Fixture, Program};
use crate::scenarios::outages::is_ridden_out;
use crate::scenarios::{connect, granted, queued};

pub async fn a_crashed_server_is_ridden_out<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    is_ridden_out(&server, async |server| server.restart()).await;
}

pub async fn a_server_that_shuts_down_is_ridden_out<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    is_ridden_out(&server, async |server| {
        server.shut_down();
        server.restart();
    })
    .await;
}

/// Of a primary that another server can follow.
pub async fn a_promoted_replica_goes_on<P: Program<Server: Database>>(fixture: &Fixture<P>, primary: &P::Server) {
    let first = connect(&primary.url());
    let fence = first.lock("k").acquire().await.unwrap().fence();
    first.close().await;
    let replica = primary.replica();
    fixture.remember(replica.log());
    // The replica first: it takes no writes, and is skipped.
    let url = primary.url_at(&format!("{},{}", replica.endpoint(), primary.endpoint()));
    let (ours, theirs) = (connect(&format!("{url}&ttl=48s")), connect(&format!("{url}&ttl=48s")));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    // What has not been replicated is lost.
    primary.await_replica(&replica);
    primary.kill();
    replica.promote();
    // Renewals have begun again, on the replica.
    renewed(&replica, 2).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    assert!(fence < guard.fence());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(fence < next.fence(), "{fence:?} and then {:?}", next.fence());
    next.release().await.unwrap();
}
