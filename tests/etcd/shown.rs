//! What is shown of what must not be seen, or was written by others.

use distributed_locks::ErrorKind;
use distributed_locks::store::Change;
use serde_json::json;
use support::Server;
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Etcd, Setup, Users, encode};
use support::in_time;
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::shown::{self, a_hostile_record_is_shown_in_one_short_line, hostile_record};
use support::scenarios::{chain, client, connect};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        no_password_is_shown,
        a_hostile_record_is_escaped_and_cut,
        a_role_on_a_prefix_that_begins_with_a_slash_has_a_url,
        a_watch_reports_each_hold_however_short,
    ]
}

/// Keys of `app` are below `/app/`.
fn with_users(fixture: &Fixture) -> Etcd {
    fixture.start(&Setup { users: Some(Users::default()), ..Setup::default() })
}

async fn no_password_is_shown(fixture: Fixture) {
    let etcd =
        fixture.start(&Setup { users: Some(Users { prefix: "/".into(), ..Users::default() }), ..Setup::default() });
    let wrong = format!("etcd://app:mistaken@{}", etcd.endpoint());
    shown::no_password_is_shown(&etcd.url(), &wrong, &["secret@", ":secret", "\"secret\"", "mistaken"]).await;
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (etcd, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "600"}))["ID"].clone();
    for (number, record) in [hostile_record(), "x\r\n".repeat(300_000), "[".repeat(500_000)].iter().enumerate() {
        let key = format!("{key}{number}");
        let entry = json!({"key": encode(&format!("{key}/1")), "value": encode(record), "lease": lease});
        etcd.gateway("/v3/kv/put", &entry);
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
    }
    etcd.ctl(&["del", "--prefix", &key]);
}

async fn a_role_on_a_prefix_that_begins_with_a_slash_has_a_url(fixture: Fixture) {
    let etcd = with_users(&fixture);
    let at = |path: &str| format!("etcd://app:secret@{}{path}", etcd.endpoint());
    let urls = ["", "//app", "/%2Fapp", "//app?ttl=9s"].map(at);
    shown::a_namespace_may_begin_with_a_slash(&urls[1..], "/k").await;
    assert!(etcd.left("/app/k").is_empty());
    // Without a namespace, the key of the role's prefix is the same.
    let guard = connect(&urls[0]).lock("/app/k").acquire().await.unwrap();
    assert!(connect(&urls[1]).lock("/k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let error = refused_at_once(&at("/app"), "/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
}

async fn a_watch_reports_each_hold_however_short(fixture: Fixture) {
    let (ours, theirs, key) = (client(&fixture), client(&fixture), fixture.key("k"));
    let mut watch = theirs.watch(&key).await.unwrap();
    for number in 0..20 {
        ours.lock(&key).name(number.to_string()).acquire().await.unwrap().release().await.unwrap();
    }
    for number in 0..20 {
        let acquired = in_time(watch.next()).await;
        let name = number.to_string();
        assert!(matches!(&acquired, Some(Change::Acquired(_, holder)) if holder.name == name), "{name}: {acquired:?}");
        let released = in_time(watch.next()).await;
        assert!(matches!(released, Some(Change::Released(_))), "{name}: {released:?}");
    }
}
