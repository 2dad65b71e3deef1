//! The server is away for a while, or another takes its place.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use support::mysql::Setup;
use support::scenarios::bad_input::refused_saying;
use support::scenarios::sql::outages;
use support::scenarios::{acquire_and_release, chain, connect, held, lost};
use support::{HANG_LIMIT, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        outages::a_crashed_server_is_ridden_out,
        outages::a_server_that_shuts_down_is_ridden_out,
        a_promoted_replica_goes_on,
        a_replica_is_refused_by_its_reason,
        a_primary_that_becomes_read_only_is_left_for_the_one_that_is_not,
        a_server_that_stays_read_only_stops_the_body,
        a_server_whose_innodb_only_reads_is_left_for_one_that_writes,
    ]
}

const LOGGED: Setup =
    Setup { passwords: false, tls: false, on_disk: false, settings: &["--log-bin=binlog", "--log-slave-updates"] };

async fn a_promoted_replica_goes_on(fixture: Fixture) {
    let primary = fixture.start(&LOGGED);
    outages::a_promoted_replica_goes_on(&fixture, &primary).await;
}

async fn a_replica_is_refused_by_its_reason(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    server.sql("SET GLOBAL read_only = 1");
    let error = refused_saying(&server.url(), "k", |error| error.contains("takes no writes")).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.is_retryable(), "{}", chain(&error));
    // Nor is one used whose user might write all the same.
    server.sql("GRANT READ_ONLY ADMIN ON *.* TO app@'%'");
    let error = refused_saying(&server.url(), "k", |error| error.contains("takes no writes")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

/// A switch-over by somebody whose users may write to a server that is read-only. Both servers live, and the connections to both.
async fn a_primary_that_becomes_read_only_is_left_for_the_one_that_is_not(fixture: Fixture) {
    let primary = fixture.start(&LOGGED);
    primary.sql("GRANT READ_ONLY ADMIN ON *.* TO app@'%'");
    let locks = connect(&primary.url());
    acquire_and_release(&locks, "k").await;
    let replica = primary.replica();
    fixture.remember(replica.log());
    let locks = connect(&primary.url_at(&format!("{},{}", primary.endpoint(), replica.endpoint())));
    let guard = locks.lock("k").acquire().await.unwrap();
    primary.sql("SET GLOBAL read_only = 1");
    primary.await_replica(&replica);
    let written = primary.sql("SELECT @@gtid_binlog_pos");
    replica.promote();
    acquire_and_release(&locks, "other").await;
    guard.release().await.unwrap();
    assert_eq!(primary.sql("SELECT @@gtid_binlog_pos"), written, "the former primary was written to");
    assert_eq!(replica.sql("SELECT COUNT(*) FROM distributed_locks WHERE name = 'other'"), "1");
}

async fn a_server_that_stays_read_only_stops_the_body(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("connect_timeout=2s"));
    let body = held(&locks, "k", 3).await;
    server.sql("SET GLOBAL read_only = 1");
    lost(body).await;
    server.sql("SET GLOBAL read_only = 0");
    let again = locks.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
    again.release().await.unwrap();
}

/// `read_only` is off. Aurora's readers are known by this setting.
async fn a_server_whose_innodb_only_reads_is_left_for_one_that_writes(fixture: Fixture) {
    let reader = fixture.start(&Setup { settings: &["--innodb-read-only"], ..Setup::default() });
    let error = refused_saying(&reader.url(), "k", |error| error.contains("takes no writes")).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.is_retryable(), "{}", chain(&error));
    let writer = fixture.start(&Setup::default());
    let locks = connect(&writer.url_at(&format!("{},{}", reader.endpoint(), writer.endpoint())));
    acquire_and_release(&locks, "k").await;
}
