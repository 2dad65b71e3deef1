//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use support::cases::Program;
use support::postgres::{Binary, Setup};
use support::scenarios::bad_input::{refused, refused_at_once, refused_saying};
use support::scenarios::sql::bad_input;
use support::scenarios::{acquire_and_release, chain, client, connect};
use support::{Server, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        bad_input::a_dead_host_of_two_is_skipped,
        a_wrong_password_is_refused_at_once,
        an_unknown_database_is_named,
        too_many_connections_may_pass,
        a_role_that_may_not_create_is_told_what_to_run,
        bad_input::a_bad_certificate_is_named,
        a_client_certificate_works_without_the_servers,
        long_and_odd_keys_work,
        a_corrupt_record_is_an_unknown_holder,
        a_table_of_another_form_is_refused,
        a_server_that_takes_no_writes_is_not_used,
        tables_and_namespaces_are_apart,
    ]
}

async fn a_wrong_password_is_refused_at_once(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    bad_input::a_wrong_password_is_refused_at_once(&server).await;
}

async fn an_unknown_database_is_named(fixture: Fixture) {
    let endpoint = fixture.server().endpoint();
    for (url, what) in [("nowhere", "nowhere"), ("locks?table=nowhere.locks", "nowhere")] {
        let error = refused_at_once(&format!("postgres://app@{endpoint}/{url}"), "k").await;
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}", chain(&error));
        assert!(chain(&error).contains(what), "{}", chain(&error));
    }
}

/// Three of five are for `postgres`, and a client has two.
async fn too_many_connections_may_pass(fixture: Fixture) {
    let server = fixture.start(&Setup { connections: 5, ..Setup::default() });
    bad_input::too_many_connections_may_pass(&server, "connection").await;
}

async fn a_role_that_may_not_create_is_told_what_to_run(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let url = format!("postgres://poor@{}/locks?table=public.jobs", server.endpoint());
    let error = refused_at_once(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    // As in the message.
    let text = error.to_string();
    let statement = &text[text.find("CREATE TABLE").unwrap()..text.find("; GRANT").unwrap()];
    server.psql(statement);
    let error = refused(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    server.psql("GRANT SELECT, INSERT, UPDATE ON jobs TO poor");
    connect(&url).lock("k").acquire().await.unwrap().release().await.unwrap();
}

async fn a_client_certificate_works_without_the_servers(fixture: Fixture) {
    let server = fixture.start(&Binary::with_tls());
    let guard = bad_input::a_client_certificate_works_without_the_servers(&server).await;
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'app'";
    assert_ne!(server.psql(encrypted), "0");
    // It is known for a server, and not for a pool.
    assert_ne!(server.statements_with("LISTEN"), 0);
    guard.release().await.unwrap();
}

async fn long_and_odd_keys_work(fixture: Fixture) {
    let server = fixture.server();
    // As long as can be, with a namespace of the same length.
    let long = connect(&server.url_with(&format!("namespace={}", "n".repeat(512))));
    acquire_and_release(&long, &format!("{:é<200}", fixture.key("'; DROP TABLE distributed_locks; --"))).await;
    server.psql(
        "CREATE TABLE IF NOT EXISTS shedlock(name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP NOT NULL, \
         locked_at TIMESTAMP NOT NULL, locked_by VARCHAR(255) NOT NULL); GRANT SELECT, INSERT, UPDATE ON shedlock TO app",
    );
    let shed = connect(&server.url_with("table=shedlock"));
    let error = shed.lock("k".repeat(65)).acquire().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidKey && error.to_string().contains("64"), "{error}");
}

async fn a_corrupt_record_is_an_unknown_holder(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let records = ["''", "'{'", "'{\"v\":1,\"pid\":\"x\"}'", "'[1]'", "NULL"];
    bad_input::corrupt_records_are_unknown_holders(&*server, &locks, &key, &records).await;
    assert_eq!(server.left(&key), [""; 0]);
}

async fn a_table_of_another_form_is_refused(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let forms = [
        ("a", "name text"),
        (
            "b",
            "name text PRIMARY KEY, fence text, session int, number text, holder text, \
         locked_until timestamptz, keep_until timestamptz, queue jsonb",
        ),
    ];
    for (table, columns) in forms {
        server.psql(&format!("CREATE TABLE {table} ({columns}); GRANT ALL ON {table} TO app"));
        let error = refused_at_once(&server.url_with(&format!("table={table}")), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains("table"), "{}", chain(&error));
    }
}

async fn a_server_that_takes_no_writes_is_not_used(fixture: Fixture) {
    let primary = fixture.start(&Setup::default());
    let standby = primary.standby();
    fixture.remember(standby.log());
    let says = |error: &str| error.contains("writes") || error.contains("read");
    let error = refused_saying(&standby.url(), "k", says).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

async fn tables_and_namespaces_are_apart(fixture: Fixture) {
    bad_input::tables_and_namespaces_are_apart(fixture, "O%22dd%20one").await;
}
