//! What a user may get wrong: each is told plainly, and nothing hangs.

use crate::{SOON, Store, client, connect, standing};
use distributed_locks::{Error, ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::chain;
use support::postgres::Setup;

async fn refused(url: &str, key: &str) -> (Error, Duration) {
    let begun = Instant::now();
    let error = connect(url).lock(key).acquire().await.unwrap_err();
    (error, begun.elapsed())
}

pub(crate) async fn a_dead_endpoint_is_named(store: Store) {
    let (error, took) = refused("postgres://app@127.0.0.1:9/locks?connect_timeout=1s", &store.key("k")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("127.0.0.1:9") && error.is_retryable(), "{}", chain(&error));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}

pub(crate) async fn a_dead_host_of_two_is_no_matter(store: Store) {
    let server = store.postgres();
    let locks = connect(&server.url_at(&format!("127.0.0.1:9,{}", server.endpoint())));
    locks.lock(store.key("k")).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_wrong_password_is_refused_at_once(store: Store) {
    let server = store.start(Setup { passwords: true, ..Setup::default() });
    connect(&server.url()).lock("k").acquire().await.unwrap().release().await.unwrap();
    for user in ["app:mistaken@", "app@", "nobody:mistaken@"] {
        let (error, took) = refused(&format!("postgres://{user}{}/locks", server.endpoint()), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(!chain(&error).contains("mistaken") && !error.is_retryable(), "{}", chain(&error));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

pub(crate) async fn an_unknown_database_is_named(store: Store) {
    let endpoint = store.postgres().endpoint();
    for (url, what) in [("nowhere", "nowhere"), ("locks?table=nowhere.locks", "nowhere")] {
        let (error, took) = refused(&format!("postgres://app@{endpoint}/{url}"), "k").await;
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}", chain(&error));
        assert!(chain(&error).contains(what) && took < Duration::from_secs(3), "{}", chain(&error));
    }
}

pub(crate) async fn too_many_connections_may_pass(store: Store) {
    // Three of five are for `postgres`, and a client takes two.
    let server = store.start(Setup { connections: 5, ..Setup::default() });
    let first = connect(&server.url());
    let guard = first.lock("first").acquire().await.unwrap();
    let url = format!("{}&connect_timeout=1s", server.url());
    let (error, _) = refused(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("connection") && error.is_retryable(), "{}", chain(&error));
    let second = connect(&url);
    let waiting = second.lock("k").wait(SOON).acquire();
    let (taken, ()) = tokio::join!(waiting, async {
        guard.release().await.unwrap();
        first.close().await;
        drop(first);
    });
    taken.unwrap().release().await.unwrap();
}

pub(crate) async fn a_role_that_may_not_create_is_told_what_to_run(store: Store) {
    let server = store.start(Setup::default());
    let url = format!("postgres://poor@{}/locks?table=public.jobs", server.endpoint());
    let (error, took) = refused(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(took < Duration::from_secs(3), "{took:?}");
    // As it stands in the message.
    let text = error.to_string();
    let statement = &text[text.find("CREATE TABLE").unwrap()..text.find("; GRANT").unwrap()];
    server.psql(statement);
    let (error, _) = refused(&url, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    server.psql("GRANT SELECT, INSERT, UPDATE ON jobs TO poor");
    connect(&url).lock("k").acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_bad_certificate_is_named(store: Store) {
    let tls = Setup { tls: true, ..Setup::default() };
    let (server, other) = (store.start(tls), store.start(tls));
    let (ours, theirs) = (server.certificates().unwrap(), other.certificates().unwrap());
    let url = |query: &str| format!("postgres://app@{}/locks?connect_timeout=1s&{query}", server.endpoint());
    let identity = format!("cert={}&key={}", ours.cert().display(), ours.key().display());
    for query in [
        format!("sslmode=verify-full&ca={}&{identity}", theirs.ca().display()),
        format!("sslmode=verify-full&ca={}&domain=elsewhere&{identity}", ours.ca().display()),
    ] {
        let (error, _) = refused(&url(&query), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).to_lowercase().contains("certificate"), "{}", chain(&error));
    }
    // Nobody looks at the server's, but ours is missing, or TLS.
    for query in ["sslmode=require", "sslmode=disable"] {
        let (error, _) = refused(&url(query), "k").await;
        assert!(matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Unavailable), "{}", chain(&error));
    }
    for (query, what) in
        [("sslmode=verify-full&ca=/nowhere/ca.pem", "/nowhere/ca.pem"), ("sslmode=allow", "sslmode=allow")]
    {
        let error = Locks::connect(url(query)).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{error}");
    }
}

pub(crate) async fn a_client_certificate_works(store: Store) {
    let server = store.start(Setup { tls: true, ..Setup::default() });
    let files = server.certificates().unwrap();
    let identity = format!("cert={}&key={}", files.cert().display(), files.key().display());
    let required = format!("postgres://app@{}/locks?sslmode=require&{identity}", server.endpoint());
    let named = format!("{}&domain=localhost", server.url());
    let guard = connect(&server.url()).lock("k").acquire().await.unwrap();
    for url in [required, named] {
        assert!(connect(&url).lock("k").try_acquire().await.unwrap().is_none(), "{url}");
    }
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'app'";
    assert_ne!(server.psql(encrypted), "0");
    guard.release().await.unwrap();
}

pub(crate) async fn oversize_and_odd_keys(store: Store) {
    let locks = client(&store);
    for key in ["", &"k".repeat(513), "a\0b"] {
        assert_eq!(locks.lock(key).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    // As long as can be, with a namespace of the same length.
    let long = connect(&format!("{}&namespace={}", store.postgres().url(), "n".repeat(512)));
    let key = format!("{:é<200}", store.key("'; DROP TABLE distributed_locks; --"));
    long.lock(&key).acquire().await.unwrap().release().await.unwrap();
    let shed = connect(&format!("{}&table=shedlock", store.postgres().url()));
    let error = shed.lock("k".repeat(65)).acquire().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidKey && error.to_string().contains("64"), "{error}");
}

pub(crate) async fn a_corrupt_record_is_an_unknown_holder(store: Store) {
    let (server, key, locks) = (store.postgres(), store.key("k"), client(&store));
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    for (number, record) in ["''", "'{'", "'{\"v\":1,\"pid\":\"x\"}'", "'[1]'", "NULL"].iter().enumerate() {
        let key = format!("{key}{number}");
        server.psql(&format!(
            "INSERT INTO distributed_locks (name, fence, holder, locked_until) VALUES ('{key}', 1, {record}, 'infinity')"
        ));
        let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{record}");
        let late = locks.lock(&key).wait(Duration::from_millis(300)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout, "{record}");
        assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 1, "{record}");
        assert!(locks.force_release(&key).await.unwrap());
    }
    assert_eq!(standing(&server, &key), "0");
}

pub(crate) async fn a_table_of_somebody_else_is_refused(store: Store) {
    let server = store.start(Setup::default());
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
        let (error, took) = refused(&format!("{}&table={table}", server.url()), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains("table") && took < Duration::from_secs(3), "{}", chain(&error));
    }
}

pub(crate) async fn a_server_that_takes_no_writes_is_not_used(store: Store) {
    let primary = store.start(Setup::default());
    let standby = primary.standby();
    store.remember(standby.log());
    let (error, _) = refused(&format!("{}&connect_timeout=1s", standby.url()), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("writes") || chain(&error).contains("read"), "{}", chain(&error));
}

pub(crate) async fn tables_and_namespaces_are_apart(store: Store) {
    let server = store.start(Setup::default());
    server.psql("CREATE SCHEMA app AUTHORIZATION app");
    let tables = ["", "&namespace=a", "&namespace=b/", "&table=app.locks", "&table=O%22dd%20one&namespace=a"];
    let mut guards = Vec::new();
    for table in tables {
        let locks = connect(&format!("{}{table}", server.url()));
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
