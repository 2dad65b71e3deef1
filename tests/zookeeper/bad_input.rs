//! What a user may get wrong: each is told plainly, and nothing hangs.

use crate::{Store, cli, client, create};
use distributed_locks::{Error, ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::chain;
use support::zookeeper::{Setup, url};

const SOON: Duration = Duration::from_secs(15);

async fn refused(url: &str, key: &str) -> (Error, Duration) {
    let begun = Instant::now();
    let error = Locks::connect(url).unwrap().lock(key).acquire().await.unwrap_err();
    (error, begun.elapsed())
}

pub(crate) async fn a_dead_server_is_named(store: Store) {
    let (error, took) = refused("zookeeper://127.0.0.1:9?connect_timeout=1s", &store.key("k")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("127.0.0.1:9") && chain(&error).contains("refused"), "{}", chain(&error));
    assert!(error.is_retryable() && took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}

pub(crate) async fn one_of_three_dead_is_no_matter(store: Store) {
    let servers = store.ensemble();
    servers[0].kill();
    for round in 0..10 {
        let locks = Locks::connect(url(&servers)).unwrap();
        let key = store.key(&round.to_string());
        // With a wait, for the two may have to elect a leader first.
        locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    }
}

/// ZooKeeper takes any user and any password; what one has made, another may not touch.
pub(crate) async fn what_another_user_made_is_refused(store: Store) {
    // Of its own, for nobody else could make a lock under what this one makes.
    let (server, key) = (store.own(&Setup::default()), store.key("k"));
    let as_user = |login: &str| format!("zookeeper://{login}@{}", server.endpoint());
    let locks = Locks::connect(as_user("app:right")).unwrap();
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    for url in [as_user("app:wrong"), server.url()] {
        let (error, took) = refused(&url, &key).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(chain(&error).contains(&key) && !chain(&error).contains("wrong"), "{}", chain(&error));
        assert!(!error.is_retryable() && took < Duration::from_secs(3), "{took:?}");
    }
    let guard = locks.lock(&key).hold_at_least(Duration::from_secs(1)).acquire().await.unwrap();
    assert!(Locks::connect(as_user("app:right")).unwrap().lock(&key).try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

pub(crate) async fn a_bad_certificate_is_told(store: Store) {
    let tls = Setup { tls: true, ..Setup::default() };
    let (server, other) = (store.own(&tls), store.own(&tls));
    let (url, files) = server.secure();
    // The authority of another server; and TLS where plain text is spoken.
    let strange = url.replace(&files.ca().display().to_string(), &other.secure().1.ca().display().to_string());
    let port = format!(":{}?", server.address().port());
    let plain = format!("zookeepers://127.0.0.1{port}{}", url.split_once('?').unwrap().1);
    for url in [strange, plain] {
        let (error, took) = refused(&format!("{url}&connect_timeout=1s"), "/k").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).contains("certificate") && took < SOON, "{} after {took:?}", chain(&error));
    }
    let error = Locks::connect("zookeepers://127.0.0.1:1?ca=/nowhere/ca.pem").unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

pub(crate) async fn a_client_certificate_works(store: Store) {
    let server = store.own(&Setup { tls: true, ..Setup::default() });
    let (url, _) = server.secure();
    let locks = Locks::connect(&url).unwrap();
    let guard = locks.lock("/k").acquire().await.unwrap();
    assert!(Locks::connect(&url).unwrap().lock("/k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let (error, _) = refused(&format!("{}&connect_timeout=1s", url.split_once("&cert").unwrap().0), "/k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "without a certificate: {}", chain(&error));
}

/// A server with ZooKeeper's own proportions: twenty ticks at most.
fn strict(store: &Store) -> support::zookeeper::ZooKeeper {
    store.own(&Setup { longest: Duration::from_secs(10), ..Setup::default() })
}

pub(crate) async fn a_ttl_beyond_the_servers_longest_is_refused(store: Store) {
    let server = strict(&store);
    let locks = Locks::connect(server.url()).unwrap();
    locks.lock("/k").ttl(Duration::from_secs(9)).acquire().await.unwrap().release().await.unwrap();
    let error = locks.lock("/k").ttl(Duration::from_secs(12)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("maxSessionTimeout") && error.to_string().contains("12s"), "{error}");
}

pub(crate) async fn a_hold_at_least_beyond_the_servers_longest_is_refused(store: Store) {
    let server = strict(&store);
    let locks = Locks::connect(format!("{}?ttl=2s", server.url())).unwrap();
    let error = locks.lock("/k").hold_at_least(Duration::from_secs(12)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("hold_at_least"), "{error}");
    crate::nothing_is_left(&server, "/k").await;
    locks.lock("/k").hold_at_least(Duration::from_secs(1)).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn oversize_labels_are_refused(store: Store) {
    let (server, key) = (store.zookeeper(), store.key("k"));
    let big = "b".repeat(1_100_000);
    let (error, took) = refused(&format!("{}?label.big={big}", server.url()), &key).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("labels") && took < Duration::from_secs(3), "{error}");
}

pub(crate) async fn a_strange_record_is_an_unknown_holder(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    let mut cli = cli(&store, &server);
    for (number, record) in ["10.0.0.7", "{", "{\"v\":1,\"pid\":\"x\"}", "[1]"].iter().enumerate() {
        let key = format!("{key}{number}");
        // Makes the lock's node.
        locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
        create(&mut cli, "-e -s", &format!("{key}/lock-"), record).await;
        let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{record}");
        assert!(number > 0 || busy.to_string().contains("`10.0.0.7`"), "{busy}");
        assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 1, "{record}");
    }
}

/// `/tick/1732200000` is a lock of its own, though its node looks like an entry of `/tick`.
pub(crate) async fn a_lock_whose_name_ends_in_digits_is_not_in_line(store: Store) {
    let (key, locks, other) = (store.key("tick"), client(&store), client(&store));
    let nested = format!("{key}/1732200000");
    let below = locks.lock(&nested).acquire().await.unwrap();
    // Its sequence is so large that only what comes after more entries could mistake it: one of little is needed too.
    let early = locks.lock(format!("{key}/x0000000000")).acquire().await.unwrap();
    let guard = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap();
    let waiting = tokio::spawn(other.lock(&key).acquire());
    support::eventually(SOON, async || {
        let lines = locks.list(&key).await.unwrap();
        match lines.iter().map(|line| (line.holders.len(), line.waiters.len())).collect::<Vec<_>>().as_slice() {
            [(1, 1), (1, 0), (1, 0)] => Ok(()),
            _ => Err(lines),
        }
    })
    .await;
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    below.release().await.unwrap();
    early.release().await.unwrap();
}

/// Curator would wait for it for ever; here only what goes with a session counts.
pub(crate) async fn a_node_that_is_not_ephemeral_is_not_in_line(store: Store) {
    let (server, key, locks) = (store.zookeeper(), store.key("k"), client(&store));
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    let mut cli = cli(&store, &server);
    create(&mut cli, "-s", &format!("{key}/x"), "stuck").await;
    locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}
