//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases::Program;
use support::mysql::{Binary, Setup};
use support::scenarios::bad_input::{refused, refused_at_once};
use support::scenarios::sql::bad_input;
use support::scenarios::{acquire_and_release, chain, client, connect, nothing_is_left};
use support::{Server, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        bad_input::a_dead_host_of_two_is_skipped,
        a_wrong_password_is_refused_at_once,
        an_unknown_database_is_named,
        too_many_connections_may_pass,
        a_user_that_may_not_create_is_told_what_to_run,
        bad_input::a_bad_certificate_is_named,
        a_client_certificate_works_without_the_servers,
        long_and_odd_keys_work,
        keys_are_bytes,
        a_corrupt_record_is_an_unknown_holder,
        a_corrupt_queue_is_no_empty_one,
        a_table_of_another_form_is_refused,
        tables_and_namespaces_are_apart,
    ]
}

async fn a_wrong_password_is_refused_at_once(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    bad_input::a_wrong_password_is_refused_at_once(&server).await;
}

async fn an_unknown_database_is_named(fixture: Fixture) {
    let endpoint = fixture.server().endpoint();
    // A user who may do nothing there is not told whether it exists.
    for (url, kind) in
        [("admin@ENDPOINT/nowhere", ErrorKind::InvalidUrl), ("app@ENDPOINT/nowhere", ErrorKind::Unauthorized)]
    {
        let url = format!("mysql://{}", url.replace("ENDPOINT", &endpoint));
        let error = refused_at_once(&url, "k").await;
        assert_eq!(error.kind(), kind, "{}", chain(&error));
        assert!(chain(&error).contains("nowhere"), "{}", chain(&error));
    }
}

async fn too_many_connections_may_pass(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.sql("GRANT USAGE ON *.* TO app@'%' WITH MAX_USER_CONNECTIONS 2");
    bad_input::too_many_connections_may_pass(&server, "max_user_connections").await;
}

async fn a_user_that_may_not_create_is_told_what_to_run(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.sql("CREATE DATABASE jobs; CREATE TABLE jobs.seen (x INT); GRANT SELECT ON jobs.seen TO poor@'%'");
    let url = format!("mysql://poor@{}/jobs?table=jobs", server.endpoint());
    let error = refused_at_once(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    // As in the message.
    let text = error.to_string();
    let statement = &text[text.find("CREATE TABLE").unwrap()..text.find("; GRANT").unwrap()];
    server.sql(statement);
    server.sql("GRANT SELECT ON jobs.jobs TO poor@'%'");
    let error = refused(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    server.sql("GRANT INSERT, UPDATE ON jobs.jobs TO poor@'%'");
    let locks = connect(&url);
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
    locks.once("/done").run(async |_| Ok::<_, distributed_locks::Error>(())).await.unwrap();
    assert!(locks.forget("/done").await.unwrap());
}

async fn a_client_certificate_works_without_the_servers(fixture: Fixture) {
    let server = fixture.start(&Binary::with_tls());
    bad_input::a_client_certificate_works_without_the_servers(&server).await.release().await.unwrap();
}

async fn long_and_odd_keys_work(fixture: Fixture) {
    let server = fixture.server();
    // As long as can be, with a namespace of the same length.
    let long = connect(&server.url_with(&format!("namespace={}", "n".repeat(512))));
    for odd in [r"'; DROP TABLE distributed_locks; --", r"\", r#"\'"%_"#, "😀", "`", "?"] {
        acquire_and_release(&long, &format!("{:é<180}", fixture.key(odd))).await;
    }
}

/// Case, accents, blanks at the end, and what a collation takes for the same: each is a lock of its own.
async fn keys_are_bytes(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    let keys = ["k", "K", "k ", "k  ", "ḱ", "ß", "ss", "😀", "🍣", "e\u{301}", "\u{e9}"];
    let mut guards = Vec::new();
    for key in keys {
        let guard = locks.lock(key).wait(Duration::ZERO).acquire().await;
        guards.push(guard.unwrap_or_else(|error| panic!("{key:?}: {}", chain(&error))));
    }
    let listed: Vec<String> = locks.list("").await.unwrap().iter().map(|line| line.key.to_string()).collect();
    assert_eq!(listed.len(), keys.len(), "{listed:?}");
    for key in keys {
        assert!(locks.inspect(key).await.unwrap().is_some_and(|line| line.key.as_str() == key), "{key:?}");
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    assert_eq!(locks.list("").await.unwrap(), []);
}

async fn a_corrupt_record_is_an_unknown_holder(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let records = ["''", "'{'", "'{\"v\":1,\"pid\":\"x\"}'", "'[1]'", "NULL", "X'FF00FE'"];
    bad_input::corrupt_records_are_unknown_holders(&*server, &locks, &key, &records).await;
    // The one who gave up waiting may leave after that.
    nothing_is_left(&*server, &key).await;
}

/// To take it for an empty one would let two hold.
async fn a_corrupt_queue_is_no_empty_one(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    server.sql(&format!("UPDATE distributed_locks SET queue = '[{{}}]' WHERE name = '{key}'"));
    let error = locks.lock(&key).wait(Duration::from_secs(5)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("queue"), "{}", chain(&error));
    server.delete(&key);
    acquire_and_release(&locks, &key).await;
}

async fn a_table_of_another_form_is_refused(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    let own = "name VARBINARY(1536) NOT NULL PRIMARY KEY, version BIGINT NOT NULL, fence BIGINT NOT NULL, session VARBINARY(64), \
               number BIGINT, locked_until BIGINT NOT NULL, keep_until BIGINT, holder LONGBLOB, queue LONGBLOB NOT NULL";
    let forms = [
        ("name TEXT".to_owned(), "InnoDB", "`name`"),
        (own.replace("VARBINARY(1536)", "VARCHAR(100)"), "InnoDB", "`name`"),
        (own.replace("VARBINARY(1536)", "VARBINARY(100)"), "InnoDB", "`name`"),
        (own.replace("fence BIGINT", "fence INT"), "InnoDB", "`fence`"),
        (own.replace(" PRIMARY KEY", ""), "InnoDB", "primary key"),
        (format!("{own}, more INT NOT NULL"), "InnoDB", "`more`"),
        (own.to_owned(), "Aria", "InnoDB"),
    ];
    for (number, (columns, engine, what)) in forms.iter().enumerate() {
        server.sql(&format!("CREATE TABLE t{number} ({columns}) ENGINE={engine}"));
        let error = refused_at_once(&server.url_with(&format!("table=t{number}")), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains(what), "{what}: {}", chain(&error));
    }
    server.sql(&format!("CREATE TABLE fine ({own}, more INT NOT NULL DEFAULT 7) ENGINE=InnoDB"));
    acquire_and_release(&connect(&server.url_with("table=fine")), "k").await;
}

async fn tables_and_namespaces_are_apart(fixture: Fixture) {
    bad_input::tables_and_namespaces_are_apart(fixture, "O%60dd%20one").await;
}
