//! What a user may get wrong: each is told plainly, and nothing hangs.

use crate::{SOON, Store, client, connect, nothing_is_left, stands_in_line};
use distributed_locks::{Error, ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::chain;
use support::eventually;
use support::redis::{Redis, Setup};

async fn refused(url: &str, key: &str) -> (Error, Duration) {
    let begun = Instant::now();
    let error = connect(url).lock(key).acquire().await.unwrap_err();
    (error, begun.elapsed())
}

pub(crate) async fn a_dead_endpoint_is_named(store: Store) {
    let (error, took) = refused("redis://127.0.0.1:9?connect_timeout=1s", &store.key("k")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("127.0.0.1:9") && error.is_retryable(), "{}", chain(&error));
    assert!(chain(&error).contains("refused"), "the cause: {}", chain(&error));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}

pub(crate) async fn a_wrong_password_is_refused_at_once(store: Store) {
    let redis = store.start(&Setup { password: Some("secret".into()), ..Setup::default() });
    for login in [":wrong@", "nobody:wrong@", "", ":@"] {
        for database in ["", "?db=1"] {
            let url = format!("redis://{login}{}{database}", redis.address());
            let (error, took) = refused(&url, "k").await;
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{url}: {}", chain(&error));
            assert!(!chain(&error).contains("wrong") && !error.is_retryable(), "{}", chain(&error));
            assert!(took < Duration::from_secs(3), "{took:?}");
        }
    }
    connect(&redis.url()).lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// A user that may do only so much.
fn user(redis: &Redis, rights: &[&str]) -> String {
    redis.ask(&[&["ACL", "SETUSER", "app", "on", ">secret"], rights].concat());
    format!("redis://app:secret@{}/app:", redis.address())
}

pub(crate) async fn a_user_with_the_rights_that_the_message_names_is_enough(store: Store) {
    let redis = store.start(&Setup::default());
    let rights =
        ["~app:*", "~{app:*", "&app:*", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "+time"];
    let url = user(&redis, &rights);
    let (ours, theirs) = (connect(&url), connect(&url));
    let mut watch = theirs.watch("").await.unwrap();
    let guard = ours.lock("k").acquire().await.unwrap();
    assert!(watch.next().await.is_some());
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    stands_in_line(&ours, "k", 1).await;
    assert_eq!(ours.list("").await.unwrap().len(), 1);
    guard.release().await.unwrap();
    let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(ours.force_release("k").await.unwrap());
    drop(guard);
    nothing_is_left(&redis, "").await;
}

pub(crate) async fn a_user_without_the_right_is_told_so(store: Store) {
    let redis = store.start(&Setup::default());
    for rights in [["~app:*", "+@all"], ["~*", "+@read"]] {
        let url = user(&redis, &[&["reset", "on", ">secret"], rights.as_slice()].concat());
        let (error, took) = refused(&url, "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(error.to_string().contains("`app`") && error.to_string().contains("namespace"), "{error}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

fn with_tls(store: &Store) -> Redis {
    store.start(&Setup { tls: true, ..Setup::default() })
}

pub(crate) async fn a_bad_certificate_is_named(store: Store) {
    let (redis, other) = (with_tls(&store), with_tls(&store));
    // The authority of another server.
    let ca = other.certificates().unwrap().ca();
    let strange = format!("rediss://{}?connect_timeout=4s&ca={}", redis.tls_address(), ca.display());
    let (error, _) = refused(&strange, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).to_lowercase().contains("certificate"), "{}", chain(&error));
    for (url, what) in [
        ("rediss://127.0.0.1:1?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("rediss://127.0.0.1:1?ca=/dev/null", "no PEM"),
        ("rediss://127.0.0.1:1?cert=/dev/null", "belong together"),
    ] {
        let error = Locks::connect(url).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{error}");
    }
}

pub(crate) async fn a_client_certificate_works(store: Store) {
    let redis = with_tls(&store);
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    stands_in_line(&ours, "k", 1).await;
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
    // Without one the server hangs up.
    let ca = redis.certificates().unwrap().ca();
    let bare = format!("rediss://{}?connect_timeout=4s&ca={}", redis.tls_address(), ca.display());
    assert_eq!(refused(&bare, "k").await.0.kind(), ErrorKind::Unavailable);
}

pub(crate) async fn a_certificate_for_another_name_works_with_domain(store: Store) {
    let redis = with_tls(&store);
    let port = redis.tls_address().port();
    // The certificate is for `localhost` and 127.0.0.1.
    let other = redis.url().replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}"));
    redis.ask(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]);
    let (error, _) = refused(&format!("{other}&connect_timeout=4s"), "k").await;
    assert!(chain(&error).to_lowercase().contains("certificate"), "{}", chain(&error));
    let locks = connect(&format!("{other}&domain=localhost"));
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn databases_are_separate(store: Store) {
    let redis = store.start(&Setup::default());
    let (zero, one) = (connect(&redis.url()), connect(&format!("{}?db=1", redis.url())));
    let guard = zero.lock("k").acquire().await.unwrap();
    let mut watch = one.watch("").await.unwrap();
    let other = one.lock("k").name("one").try_acquire().await.unwrap().expect("another database");
    guard.release().await.unwrap();
    other.release().await.unwrap();
    let change = format!("{:?}", watch.next().await);
    assert!(change.contains("Acquired") && change.contains("\"one\""), "{change}");
    let (error, _) = refused(&format!("{}?db=99", redis.url()), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("`db`"), "{error}");
}

pub(crate) async fn a_replica_is_called_one(store: Store) {
    let primary = store.start(&Setup::default());
    let of = format!("127.0.0.1 {}", primary.address().port());
    let replica = store.start(&Setup { flags: vec!["--replicaof".into(), of], ..Setup::default() });
    eventually(SOON, async || {
        let state = replica.ask(&["INFO", "replication"]).text().unwrap();
        if state.contains("master_link_status:up") { Ok(()) } else { Err(state) }
    })
    .await;
    let (error, _) = refused(&format!("{}?connect_timeout=4s", replica.url()), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("read-only replica"), "{}", chain(&error));
}

pub(crate) async fn empty_and_oversize_keys_are_refused(store: Store) {
    let locks = client(&store);
    for key in ["", &"k".repeat(513), "a\0b"] {
        assert_eq!(locks.lock(key).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    let zero = locks.lock("k").ttl(Duration::ZERO).acquire().await.unwrap_err();
    assert!(zero.kind() == ErrorKind::InvalidOption && zero.to_string().contains("`ttl`"), "{zero}");
}

pub(crate) async fn what_is_beside_another_lock_is_no_key(store: Store) {
    let locks = client(&store);
    for beside in ["{k}:fence", "{k}:holder", "{k}:queue", "{k}:waiters"] {
        assert_eq!(locks.lock(beside).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey, "{beside}");
        assert_eq!(locks.inspect(beside).await.unwrap_err().kind(), ErrorKind::InvalidKey, "{beside}");
    }
}

pub(crate) async fn corrupt_records_are_survived(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    let beside = |name: &str| format!("{{{key}}}:{name}");
    // A fence that is none, and records that cannot be read.
    for fence in ["x", "-1", "inf", "99999999999999999999"] {
        redis.ask(&["SET", &beside("fence"), fence]);
        locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    }
    for record in ["", "{", "[1]", "\u{1}"] {
        let guard = locks.lock(&key).acquire().await.unwrap();
        redis.ask(&["HSET", &beside("holder"), "record", record]);
        let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{record}");
        assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 1, "{record}");
        guard.release().await.unwrap();
    }
    // A place in line that nobody can read is nobody's.
    let guard = locks.lock(&key).acquire().await.unwrap();
    redis.ask(&["ZADD", &beside("queue"), "0", "stray"]);
    let waiting = tokio::spawn(client(&store).lock(&key).acquire());
    stands_in_line(&locks, &key, 1).await;
    guard.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
    // Another kind of key in the place of ours is told, and what to do.
    redis.ask(&["SET", &beside("queue"), "mine"]);
    let error = locks.lock(&key).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("WRONGTYPE") && error.to_string().contains("deleted"), "{}", chain(&error));
    redis.ask(&["DEL", &beside("queue")]);
    nothing_is_left(&redis, &key).await;
}
