//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases::Program;
use support::postgres::{Binary, Setup};
use support::scenarios::bad_input::{self, refused, refused_at_once, refused_saying};
use support::scenarios::{acquire_and_release, chain, client, connect};
use support::{HANG_LIMIT, Server, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_dead_host_of_two_is_skipped,
        a_wrong_password_is_refused_at_once,
        an_unknown_database_is_named,
        too_many_connections_may_pass,
        a_role_that_may_not_create_is_told_what_to_run,
        a_bad_certificate_is_named,
        a_client_certificate_works_without_the_servers,
        long_and_odd_keys_work,
        a_corrupt_record_is_an_unknown_holder,
        a_table_of_another_form_is_refused,
        a_server_that_takes_no_writes_is_not_used,
        tables_and_namespaces_are_apart,
    ]
}

async fn a_dead_host_of_two_is_skipped(fixture: Fixture) {
    let server = fixture.server();
    let url = server.url_at(&format!("127.0.0.1:9,{}", server.endpoint()));
    bad_input::one_dead_of_several_is_skipped(&fixture, &url).await;
}

async fn a_wrong_password_is_refused_at_once(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    connect(&server.url()).lock("k").acquire().await.unwrap().release().await.unwrap();
    for user in ["app:mistaken@", "app@", "nobody:mistaken@"] {
        let error = refused_at_once(&format!("postgres://{user}{}/locks", server.endpoint()), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(!chain(&error).contains("mistaken"), "{}", chain(&error));
    }
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
    let first = connect(&server.url());
    let guard = first.lock("first").acquire().await.unwrap();
    let error = refused_saying(&server.url(), "k", |error| error.contains("connection")).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.is_retryable(), "{}", chain(&error));
    let second = connect(&server.url_with("connect_timeout=60s"));
    let waiting = second.lock("k").wait(HANG_LIMIT).acquire();
    let (acquired, ()) = tokio::join!(waiting, async {
        guard.release().await.unwrap();
        first.close().await;
        drop(first);
    });
    acquired.unwrap().release().await.unwrap();
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

async fn a_bad_certificate_is_named(fixture: Fixture) {
    let (server, other) = (fixture.start(&Binary::with_tls()), fixture.start(&Binary::with_tls()));
    bad_input::a_bad_certificate_is_named(&bad_input::with_the_authority_of_another(&server, &other)).await;
    bad_input::a_bad_certificate_is_named(&server.url_with("domain=elsewhere")).await;
    let at = format!("postgres://app@{}/locks", server.endpoint());
    // The server's certificate is not verified, but ours is missing, or TLS.
    for mode in ["require", "disable"] {
        let error = refused(&format!("{at}?sslmode={mode}&connect_timeout=1s"), "k").await;
        assert!(matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Unavailable), "{}", chain(&error));
    }
    bad_input::invalid_urls(&[
        (&format!("{at}?sslmode=verify-full&ca=/nowhere/ca.pem"), "/nowhere/ca.pem"),
        (&format!("{at}?sslmode=allow"), "sslmode=allow"),
    ]);
}

async fn a_client_certificate_works_without_the_servers(fixture: Fixture) {
    let server = fixture.start(&Binary::with_tls());
    let identity = server.certificates().unwrap().identity();
    let required = format!("postgres://app@{}/locks?sslmode=require&{identity}", server.endpoint());
    let guard = connect(&server.url()).lock("k").acquire().await.unwrap();
    for url in [required, server.url_with("domain=localhost")] {
        assert!(connect(&url).lock("k").try_acquire().await.unwrap().is_none(), "{url}");
    }
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
    for (number, record) in ["''", "'{'", "'{\"v\":1,\"pid\":\"x\"}'", "'[1]'", "NULL"].iter().enumerate() {
        let key = format!("{key}{number}");
        server.psql(&format!(
            "INSERT INTO distributed_locks (name, fence, holder, locked_until) VALUES ('{key}', 1, {record}, 'infinity')"
        ));
        bad_input::the_holder_is_unknown(&locks, &key, record).await;
        let late = locks.lock(&key).wait(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout, "{record}");
        assert!(locks.force_release(&key).await.unwrap());
    }
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
    let server = fixture.start(&Setup::default());
    server.psql("CREATE SCHEMA app AUTHORIZATION app");
    let tables = ["", "namespace=a", "namespace=b/", "table=app.locks", "table=O%22dd%20one&namespace=a"];
    let mut guards = Vec::new();
    for table in tables {
        let locks = connect(&server.url_with(table));
        guards.push(locks.lock("k").acquire().await.unwrap());
        let lines = locks.list("").await.unwrap();
        let shown: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        assert!(shown.contains(&"k"), "{table}: {shown:?}");
        assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    }
    assert_eq!(server.psql("SELECT count(*) FROM app.locks"), "1");
    for guard in guards {
        guard.release().await.unwrap();
    }
}
