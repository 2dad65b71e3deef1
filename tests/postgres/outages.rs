//! The server is away for a while.

use crate::{Case, Fixture};
use support::postgres::Setup;
use support::scenarios::sql::renewed;
use support::scenarios::{connect, granted, outages, queued};
use support::{cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![a_crashed_server_is_ridden_out, a_server_that_shuts_down_is_ridden_out, a_promoted_standby_goes_on,]
}

async fn a_crashed_server_is_ridden_out(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::is_ridden_out(&server, async |server| server.restart()).await;
}

async fn a_server_that_shuts_down_is_ridden_out(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    outages::is_ridden_out(&server, async |server| {
        server.shut_down();
        server.restart();
    })
    .await;
}

async fn a_promoted_standby_goes_on(fixture: Fixture) {
    let primary = fixture.start(&Setup::default());
    let first = connect(&primary.url());
    let fence = first.lock("k").acquire().await.unwrap().fence();
    first.close().await;
    let standby = primary.standby();
    fixture.remember(standby.log());
    // The standby first: it takes no writes, and is skipped.
    let url = primary.url_at(&format!("{},{}", standby.endpoint(), primary.endpoint()));
    let (ours, theirs) = (connect(&format!("{url}&ttl=48s")), connect(&format!("{url}&ttl=48s")));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    // What has not been replicated is lost with an asynchronous standby.
    let written = primary.psql("SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
    eventually(async || if standby.psql(&replayed) == "t" { Ok(()) } else { Err("lags") }).await;
    primary.kill();
    standby.promote();
    // Renewals have begun again, on the standby.
    renewed(&standby, 2).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished());
    assert!(fence < guard.fence());
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}
