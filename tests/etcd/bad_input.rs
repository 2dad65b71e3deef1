//! What a user may get wrong: each mistake is named, and nothing hangs.

use distributed_locks::{Error, ErrorKind, Locks, distributed_lock};
use serde_json::json;
use std::time::Duration;
use support::Server;
use support::cases;
use support::cases::{Case, Fixture, Program};
use support::etcd::{Binary, Etcd, Setup, Users, encode};
use support::scenarios::bad_input::{self, refused_at_once, with_the_authority_of_another};
use support::scenarios::{acquire_and_release, chain, client, connect, granted, queued};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        one_of_three_dead_is_skipped,
        a_wrong_password_is_refused_at_once,
        an_expired_token_is_renewed,
        a_user_without_the_right_is_refused_at_once,
        a_bad_certificate_is_named,
        an_empty_value_is_refused_by_name,
        a_slash_in_a_value_stays_in_its_segment,
        a_ttl_below_the_floor_is_raised,
        a_key_without_a_lease_is_named,
        a_corrupt_record_is_an_unknown_holder,
    ]
}

async fn one_of_three_dead_is_skipped(fixture: Fixture) {
    let cluster = fixture.cluster(3);
    cluster.member(0).kill();
    cluster.await_leader().await;
    bad_input::one_dead_of_several_is_skipped(&fixture, &cluster.url()).await;
}

fn with_users(fixture: &Fixture, token_ttl: u64) -> Etcd {
    let users = Users { token_ttl: Duration::from_secs(token_ttl), ..Users::default() };
    fixture.start(&Setup { users: Some(users), ..Setup::default() })
}

async fn a_wrong_password_is_refused_at_once(fixture: Fixture) {
    let etcd = with_users(&fixture, 300);
    let error = refused_at_once(&format!("etcd://app:wrong@{}", etcd.endpoint()), "/app/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(!chain(&error).contains("wrong"), "{}", chain(&error));
    // No member says to which cluster it belongs, and the reason is not that nobody answers.
    let again = etcd.endpoint();
    let error = refused_at_once(&format!("etcd://app:wrong@{again},{again}"), "/app/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
}

async fn an_expired_token_is_renewed(fixture: Fixture) {
    let etcd = with_users(&fixture, 1);
    let locks = connect(&etcd.url_with("ttl=30s"));
    let guard = locks.lock("/app/k").acquire().await.unwrap();
    let waiting = tokio::spawn(connect(&etcd.url_with("ttl=30s")).lock("/app/k").acquire());
    queued(&locks, "/app/k", 1).await;
    // Nothing is sent meanwhile, so the token of one second expires.
    tokio::time::sleep(Duration::from_secs(4)).await;
    acquire_and_release(&locks, "/app/other").await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

async fn a_user_without_the_right_is_refused_at_once(fixture: Fixture) {
    let etcd = with_users(&fixture, 300);
    let error = refused_at_once(&etcd.url(), "/elsewhere/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(chain(&error).contains("/elsewhere/k"), "{}", chain(&error));
}

async fn a_bad_certificate_is_named(fixture: Fixture) {
    let (etcd, other) = (fixture.start(&Binary::with_tls()), fixture.start(&Binary::with_tls()));
    bad_input::a_bad_certificate_is_named(&with_the_authority_of_another(&etcd, &other)).await;
    bad_input::invalid_urls(&[
        ("etcds://127.0.0.1:1?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("etcds://127.0.0.1:1?cert=/nowhere/cert.pem", "cannot be read"),
    ]);
}

#[distributed_lock(key = "{prefix}/of/{value}", client = locks)]
async fn interpolated(locks: &Locks, prefix: &str, value: &str) -> Result<String, Error> {
    Ok(distributed_locks::current().map(|guard| guard.key().to_string()).unwrap_or_default())
}

async fn an_empty_value_is_refused_by_name(fixture: Fixture) {
    let error = interpolated(&client(&fixture), "x", "").await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidKey && error.to_string().contains("value"), "{error}");
}

async fn a_slash_in_a_value_stays_in_its_segment(fixture: Fixture) {
    assert_eq!(interpolated(&client(&fixture), "x", "../a/b").await.unwrap(), "x/of/..%2Fa%2Fb");
}

/// By what was asked for, the hold would end after half a second. etcd's floor is one and a half election timeouts.
async fn a_ttl_below_the_floor_is_raised(fixture: Fixture) {
    let flags = ["--heartbeat-interval=500", "--election-timeout=5000"].map(str::to_owned).into();
    let etcd = fixture.start(&Setup { flags, ..Setup::default() });
    let guard = connect(&etcd.url()).lock("/k").ttl(Duration::from_millis(500)).acquire().await.unwrap();
    assert_eq!(etcd.lapse("/k"), Duration::from_secs(8));
    tokio::time::sleep(Duration::from_secs(3)).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
}

async fn a_key_without_a_lease_is_named(fixture: Fixture) {
    let (etcd, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let stuck = format!("{key}/stuck");
    etcd.ctl(&["put", &stuck, ""]);
    bad_input::what_blocks_for_ever_is_named(&locks, &key, &[&stuck, "lease"]).await;
    etcd.ctl(&["del", &stuck]);
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}

async fn a_corrupt_record_is_an_unknown_holder(fixture: Fixture) {
    let (etcd, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "600"}))["ID"].clone();
    for (number, record) in ["", "{", "{\"v\":1,\"pid\":\"x\"}", "\u{0}\u{1}", "[1]"].iter().enumerate() {
        let key = format!("{key}{number}");
        let entry = format!("{key}/1");
        etcd.gateway("/v3/kv/put", &json!({"key": encode(&entry), "value": encode(record), "lease": lease}));
        bad_input::the_holder_is_unknown(&locks, &key, record).await;
    }
    etcd.ctl(&["del", "--prefix", &key]);
    assert_eq!(etcd.left(&key), [""; 0]);
}
