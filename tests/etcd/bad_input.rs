//! What a user may get wrong: each is told plainly, and nothing hangs.

use crate::{client, keys};
use distributed_locks::{Error, ErrorKind, Locks, distributed_lock};
use serde_json::json;
use std::time::{Duration, Instant};
use support::body::chain;
use support::cases::Store;
use support::etcd::{Etcd, Setup, Users, encode};

async fn refused(url: &str, key: &str) -> (Error, Duration) {
    let begun = Instant::now();
    let error = Locks::connect(url).unwrap().lock(key).acquire().await.unwrap_err();
    (error, begun.elapsed())
}

pub(crate) async fn a_dead_endpoint_is_named(store: Store) {
    let (error, took) = refused("etcd://127.0.0.1:9?connect_timeout=1s", &store.key("k")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("127.0.0.1:9") && error.is_retryable(), "{}", chain(&error));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}

pub(crate) async fn one_of_three_dead_is_no_matter(store: Store) {
    let cluster = store.cluster(3);
    cluster.member(0).kill();
    cluster.await_leader().await;
    for round in 0..10 {
        let locks = Locks::connect(cluster.url()).unwrap();
        let key = store.key(&round.to_string());
        locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
    }
}

fn with_users(store: &Store, token_ttl: u64) -> Etcd {
    let users = Users { token_ttl: Duration::from_secs(token_ttl), ..Users::default() };
    store.start(&Setup { users: Some(users), ..Setup::default() })
}

pub(crate) async fn a_wrong_password_is_refused_at_once(store: Store) {
    let etcd = with_users(&store, 300);
    let (error, took) = refused(&format!("etcd://app:wrong@{}", etcd.endpoint()), "/app/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(!chain(&error).contains("wrong") && !error.is_retryable(), "{}", chain(&error));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

pub(crate) async fn an_expired_token_is_renewed(store: Store) {
    let etcd = with_users(&store, 1);
    let locks = Locks::connect(format!("{}?ttl=30s", etcd.url())).unwrap();
    let guard = locks.lock("/app/k").acquire().await.unwrap();
    let waiting = tokio::spawn(Locks::connect(etcd.url()).unwrap().lock("/app/k").acquire());
    // Nothing is sent meanwhile, so the token of one second expires.
    tokio::time::sleep(Duration::from_secs(4)).await;
    locks.lock("/app/other").acquire().await.unwrap().release().await.unwrap();
    guard.release().await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(15), waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
}

pub(crate) async fn a_user_without_the_right_is_told_so(store: Store) {
    let etcd = with_users(&store, 300);
    let (error, took) = refused(&etcd.url(), "/elsewhere/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(chain(&error).contains("/elsewhere/k"), "{}", chain(&error));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

fn with_tls(store: &Store) -> Etcd {
    store.start(&Setup { tls: true, ..Setup::default() })
}

pub(crate) async fn a_bad_certificate_is_named(store: Store) {
    let (etcd, other) = (with_tls(&store), with_tls(&store));
    // The authority of another server.
    let strange =
        format!("etcds://{}?connect_timeout=1s&ca={}", etcd.endpoint(), other.certificates().unwrap().ca().display());
    let (error, _) = refused(&strange, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).to_lowercase().contains("certificate"), "{}", chain(&error));
    for (url, what) in [
        ("etcds://127.0.0.1:1?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("etcds://127.0.0.1:1?cert=/nowhere/cert.pem", "cannot be read"),
    ] {
        let error = Locks::connect(url).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{error}");
    }
}

pub(crate) async fn a_client_certificate_works(store: Store) {
    let etcd = with_tls(&store);
    let locks = Locks::connect(etcd.url()).unwrap();
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(Locks::connect(etcd.url()).unwrap().lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

#[distributed_lock(key = "{prefix}/of/{value}", client = locks)]
async fn interpolated(locks: &Locks, prefix: &str, value: &str) -> Result<String, Error> {
    Ok(distributed_locks::current().map(|guard| guard.key().to_string()).unwrap_or_default())
}

pub(crate) async fn empty_and_oversize_keys_are_refused(store: Store) {
    let locks = client(&store);
    let error = interpolated(&locks, "x", "").await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidKey && error.to_string().contains("value"), "{error}");
    for key in ["", &"k".repeat(513), "a\0b"] {
        assert_eq!(locks.lock(key).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    let zero = locks.lock("k").ttl(Duration::ZERO).acquire().await.unwrap_err();
    assert!(zero.kind() == ErrorKind::InvalidOption && zero.to_string().contains("`ttl`"), "{zero}");
}

pub(crate) async fn a_slash_in_a_value_stays_in_its_segment(store: Store) {
    let locks = client(&store);
    assert_eq!(interpolated(&locks, "x", "../a/b").await.unwrap(), "x/of/..%2Fa%2Fb");
}

pub(crate) async fn a_ttl_below_the_floor_is_raised(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    // etcd grants 2 s at the least. A deadline by what was asked for would have ended the hold after half a second.
    let guard = locks.lock(&key).ttl(Duration::from_millis(500)).acquire().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn a_key_without_a_lease_is_called_by_name(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let stuck = format!("{key}/stuck");
    store.etcd().ctl(&["put", &stuck, ""]);
    for wait in [Duration::ZERO, Duration::from_millis(200)] {
        let error = locks.lock(&key).wait(wait).acquire().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error}");
        assert!(error.to_string().contains(&stuck) && error.to_string().contains("lease"), "{error}");
    }
    store.etcd().ctl(&["del", &stuck]);
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn a_corrupt_record_is_an_unknown_holder(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let etcd = store.etcd();
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "30"}))["ID"].clone();
    for (number, record) in ["", "{", "{\"v\":1,\"pid\":\"x\"}", "\u{0}\u{1}", "[1]"].iter().enumerate() {
        let key = format!("{key}{number}");
        let entry = format!("{key}/1");
        etcd.gateway("/v3/kv/put", &json!({"key": encode(&entry), "value": encode(record), "lease": lease}));
        let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{record}");
        assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 1, "{record}");
    }
    etcd.ctl(&["del", "--prefix", &key]);
    assert_eq!(keys(&store, &key), "");
}
