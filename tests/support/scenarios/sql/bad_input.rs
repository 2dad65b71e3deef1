//! What a user may get wrong: each mistake is named, and nothing hangs.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::Duration;

use distributed_locks::{ErrorKind, Guard, Locks};

use super::Database;
use crate::HANG_LIMIT;
use crate::cases::{Fixture, Program};
use crate::scenarios::bad_input::{self, refused, refused_at_once, refused_saying};
use crate::scenarios::{chain, connect};

pub async fn a_dead_host_of_two_is_skipped<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.server();
    let url = server.url_at(&format!("127.0.0.1:9,{}", server.endpoint()));
    bad_input::one_dead_of_several_is_skipped(&fixture, &url).await;
}

/// On a server that asks `app` for the password `secret`.
pub async fn a_wrong_password_is_refused_at_once(server: &impl Database) {
    connect(&server.url()).lock("k").acquire().await.unwrap().release().await.unwrap();
    for user in ["app:mistaken@", "app@", "nobody:mistaken@"] {
        let error = refused_at_once(&server.url_of(user), "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(!chain(&error).contains("mistaken"), "{}", chain(&error));
    }
}

/// The server has connections for one client only, and says so by this word.
pub async fn too_many_connections_may_pass(server: &impl Database, word: &str) {
    let first = connect(&server.url());
    let guard = first.lock("first").acquire().await.unwrap();
    guard.renew().await.unwrap();
    let error = refused_saying(&server.url(), "k", |error| error.contains(word)).await;
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

pub async fn a_bad_certificate_is_named<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let (server, other) = (fixture.start(&P::with_tls()), fixture.start(&P::with_tls()));
    bad_input::a_bad_certificate_is_named(&bad_input::with_the_authority_of_another(&server, &other)).await;
    bad_input::a_bad_certificate_is_named(&server.url_with("domain=elsewhere")).await;
    let at = server.url_of("app@");
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

/// The server requires a certificate; its own is verified by none, or by another name. One of the clients holds a lock after that.
pub async fn a_client_certificate_works_without_the_servers(server: &impl Database) -> Guard {
    let identity = server.certificates().unwrap().identity();
    let required = format!("{}?sslmode=require&{identity}", server.url_of("app@"));
    let guard = connect(&server.url()).lock("k").acquire().await.unwrap();
    for url in [required, server.url_with("domain=localhost")] {
        assert!(connect(&url).lock("k").try_acquire().await.unwrap().is_none(), "{url}");
    }
    guard
}

/// Records of other clients, as expressions, of locks that begin with `key`.
pub async fn corrupt_records_are_unknown_holders(server: &impl Database, locks: &Locks, key: &str, records: &[&str]) {
    for (number, record) in records.iter().enumerate() {
        let key = format!("{key}{number}");
        server.insert_held(&key, record);
        bad_input::the_holder_is_unknown(locks, &key, record).await;
        let late = locks.lock(&key).wait(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout, "{record}");
        assert!(locks.force_release(&key).await.unwrap());
    }
}

/// One of the tables has this name, as in a URL.
pub async fn tables_and_namespaces_are_apart<P: Program<Server: Database>>(fixture: Fixture<P>, odd: &str) {
    let server = fixture.start(&P::Setup::default());
    server.create_schema("app");
    let odd = format!("table={odd}&namespace=a");
    let mut guards = Vec::new();
    for table in ["", "namespace=a", "namespace=b/", "table=app.locks", &odd] {
        let locks = connect(&server.url_with(table));
        guards.push(locks.lock("k").acquire().await.unwrap());
        let lines = locks.list("").await.unwrap();
        let shown: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        assert!(shown.contains(&"k"), "{table}: {shown:?}");
        assert!(locks.lock("k").try_acquire().await.unwrap().is_none());
    }
    assert_eq!(server.count("app.locks", "true"), 1);
    for guard in guards {
        guard.release().await.unwrap();
    }
}
