//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases::Program;
use support::scenarios::bad_input::{self, refused_at_once, refused_saying, with_the_authority_of_another};
use support::scenarios::{chain, client, connect, granted, nothing_is_left};
use support::zookeeper::{Installed, ServerCertificate, Setup, ZooKeeper, create, url};
use support::{Server, cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        one_of_three_dead_is_skipped,
        what_another_user_made_is_refused,
        a_bad_certificate_is_named,
        what_is_wrong_with_a_certificate_is_said,
        more_connections_than_the_server_allows_are_named,
        a_ttl_beyond_the_servers_longest_is_refused,
        a_hold_at_least_beyond_the_servers_longest_is_refused,
        oversize_labels_are_refused,
        a_strange_record_is_an_unknown_holder,
        a_lock_whose_name_ends_in_digits_is_not_in_the_queue,
        a_node_that_is_not_ephemeral_is_not_in_the_queue,
    ]
}

async fn one_of_three_dead_is_skipped(fixture: Fixture) {
    let servers = fixture.ensemble(&Setup::default());
    servers[0].kill();
    // The two may have to elect a leader first.
    bad_input::one_dead_of_several_is_skipped(&fixture, &url(&servers)).await;
}

/// ZooKeeper accepts any user and any password; what one has made, another may not touch.
async fn what_another_user_made_is_refused(fixture: Fixture) {
    // Of its own, for no other user could make a lock under what this one makes.
    let (server, key) = (fixture.start(&Setup::default()), fixture.key("k"));
    let as_user = |login: &str| format!("zookeeper://{login}@{}", server.endpoint());
    let locks = connect(&as_user("app:right"));
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    for url in [as_user("app:wrong"), server.url()] {
        let error = refused_at_once(&url, &key).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(chain(&error).contains(&key) && !chain(&error).contains("wrong"), "{}", chain(&error));
    }
    let guard = locks.lock(&key).hold_at_least(Duration::from_secs(1)).acquire().await.unwrap();
    assert!(connect(&as_user("app:right")).lock(&key).try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

/// The authority of another server; and TLS where plain text is spoken.
async fn a_bad_certificate_is_named(fixture: Fixture) {
    let (server, other) = (fixture.start(&Installed::with_tls()), fixture.start(&Installed::with_tls()));
    let plain = server.url_at(&server.plain().to_string());
    for url in [with_the_authority_of_another(&server, &other), plain] {
        bad_input::a_bad_certificate_is_named(&url).await;
    }
    bad_input::invalid_urls(&[("zookeepers://127.0.0.1:1?ca=/nowhere/ca.pem", "/nowhere/ca.pem")]);
}

/// Its time, its name, and who signed it: each with what to do.
async fn what_is_wrong_with_a_certificate_is_said(fixture: Fixture) {
    let server = fixture.start(&Installed::with_tls());
    let bare = server.url().replace(&format!("&{}", server.certificates().unwrap().identity()), "");
    let error = refused_saying(&bare, "/k", |error| error.contains("`cert` and `key`")).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    for (wrong, said) in [
        (ServerCertificate::Expired, "has expired; renew it"),
        (ServerCertificate::OfAnotherHost, "is not for the name `127.0.0.1`"),
        (ServerCertificate::SelfSigned, "is self-signed"),
    ] {
        server.restart_with(wrong);
        // The client reads the authority's certificate when it is made.
        let error = refused_saying(&server.url(), "/k", |error| error.contains(said)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).contains(&server.endpoint()), "{}", chain(&error));
    }
}

/// Each TTL has a session of its own, with a connection.
async fn more_connections_than_the_server_allows_are_named(fixture: Fixture) {
    let server = fixture.start(&Setup { connections: 4, ..Setup::default() });
    let mut guards = Vec::new();
    let error = loop {
        assert!(guards.len() < 5, "the server allows four connections");
        let locks = connect(&server.url());
        match locks.lock(format!("/k/{}", guards.len())).wait(Duration::from_secs(4)).acquire().await {
            Ok(guard) => guards.push((locks, guard)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(
        chain(&error).contains("`maxClientCnxns`") && chain(&error).contains(&server.endpoint()),
        "{}",
        chain(&error)
    );
}

/// A server with ZooKeeper's own proportions: twenty ticks at most.
fn strict(fixture: &Fixture) -> ZooKeeper {
    fixture.start(&Setup { longest: Duration::from_secs(10), ..Setup::default() })
}

async fn a_ttl_beyond_the_servers_longest_is_refused(fixture: Fixture) {
    let server = strict(&fixture);
    let locks = connect(&server.url());
    locks.lock("/k").ttl(Duration::from_secs(9)).acquire().await.unwrap().release().await.unwrap();
    let error = locks.lock("/k").ttl(Duration::from_secs(12)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("maxSessionTimeout") && error.to_string().contains("12s"), "{error}");
}

async fn a_hold_at_least_beyond_the_servers_longest_is_refused(fixture: Fixture) {
    let server = strict(&fixture);
    let locks = connect(&server.url_with("ttl=2s"));
    let error = locks.lock("/k").hold_at_least(Duration::from_secs(12)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("hold_at_least"), "{error}");
    nothing_is_left(&server, "/k").await;
    locks.lock("/k").hold_at_least(Duration::from_secs(1)).acquire().await.unwrap().release().await.unwrap();
}

async fn oversize_labels_are_refused(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let big = "b".repeat(1_100_000);
    let error = refused_at_once(&server.url_with(&format!("label.big={big}")), &key).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("labels"), "{error}");
    // Each of several locks has it, in one transaction; and the nodes above are made in others then.
    let locks = connect(&server.url_with(&format!("label.big={}", "b".repeat(300_000))));
    let keys = |count: usize| (0..count).map(|number| format!("{key}/new/{number}")).collect::<Vec<_>>();
    let error = locks.lock_all(keys(4)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("4 locks together"), "{error}");
    locks.lock_all(keys(3)).acquire().await.unwrap().release().await.unwrap();
    assert_eq!(server.left(&key), [""; 0]);
}

async fn a_strange_record_is_an_unknown_holder(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let mut command_line = server.open_command_line();
    for (number, record) in ["10.0.0.7", "{", "{\"v\":1,\"pid\":\"x\"}", "[1]"].iter().enumerate() {
        let key = format!("{key}{number}");
        // Makes the lock's node, which the server would remove while nothing is below it.
        let _stays = locks.lock(format!("{key}/stays")).acquire().await.unwrap();
        create(&mut command_line, "-e -s", &format!("{key}/lock-"), record).await;
        let busy = bad_input::the_holder_is_unknown(&locks, &key, record).await;
        assert!(number > 0 || busy.to_string().contains("`10.0.0.7`"), "{busy}");
    }
}

/// `/tick/1732200000` is a lock of its own, though its node looks like an entry of `/tick`.
async fn a_lock_whose_name_ends_in_digits_is_not_in_the_queue(fixture: Fixture) {
    let (key, locks, other) = (fixture.key("tick"), client(&fixture), client(&fixture));
    let nested = format!("{key}/1732200000");
    let below = locks.lock(&nested).acquire().await.unwrap();
    // Its number is so large that it would be behind every entry. So another with a small one is needed, too.
    let early = locks.lock(format!("{key}/x0000000000")).acquire().await.unwrap();
    let guard = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap();
    let waiting = tokio::spawn(other.lock(&key).acquire());
    eventually(async || {
        let lines = locks.list(&key).await.unwrap();
        match lines.iter().map(|line| (line.holders.len(), line.waiters.len())).collect::<Vec<_>>().as_slice() {
            [(1, 1), (1, 0), (1, 0)] => Ok(()),
            _ => Err(lines),
        }
    })
    .await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    below.release().await.unwrap();
    early.release().await.unwrap();
}

/// Curator would wait for it for ever; for us only ephemeral nodes count, whatever they are named.
async fn a_node_that_is_not_ephemeral_is_not_in_the_queue(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    // The server would remove the lock's node while nothing is below it.
    let _stays = locks.lock(format!("{key}/stays")).acquire().await.unwrap();
    let mut command_line = server.open_command_line();
    create(&mut command_line, "-s", &format!("{key}/x"), "stuck").await;
    create(&mut command_line, "-s", &format!("{key}/_c_0-lock-"), "stuck").await;
    locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}
