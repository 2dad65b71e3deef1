//! Entries that should be gone and are not: each is taken out as soon as the store allows it.

use std::time::Duration;
use support::Server;
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Setup, Users};
use support::proxy::Mode;
use support::scenarios::{acquire_and_release, behind_proxy, client, connect, granted, nothing_is_left, queued};

pub(crate) fn cases() -> Vec<Case> {
    cases![a_refused_release_is_tried_again, an_entry_that_came_back_is_withdrawn]
}

/// A TTL so long that an entry that is gone within the hang limit has not lapsed; its renewals are due every ten seconds.
const TTL: Duration = Duration::from_secs(90);

async fn a_refused_release_is_tried_again(fixture: Fixture) {
    let users = Users::default();
    let (role, etcd) = (users.name.clone(), fixture.start(&Setup { users: Some(users), ..Setup::default() }));
    let (grant, revoke) = (["role", "grant-permission", &role, "--prefix=true"], ["role", "revoke-permission", &role]);
    etcd.ctl(&[&grant[..], &["readwrite", "/app/taken/"]].concat());
    etcd.ctl(&[&grant[..], &["readwrite", "/app/kept/"]].concat());
    etcd.ctl(&[&revoke[..], &["--prefix=true", "/app/"]].concat());
    let locks = connect(&etcd.url_with("ttl=30s"));
    let (taken, kept) =
        (locks.lock("/app/taken/k").acquire().await.unwrap(), locks.lock("/app/kept/k").acquire().await.unwrap());
    etcd.ctl(&[&revoke[..], &["--prefix=true", "/app/taken/"]].concat());
    let _ = taken.release().await;
    assert!(!etcd.left("/app/taken").is_empty(), "the release was not refused");
    etcd.ctl(&[&grant[..], &["readwrite", "/app/taken/"]].concat());
    nothing_is_left(&etcd, "/app/taken").await;
    kept.check().unwrap();
    kept.release().await.unwrap();
}

/// As after a snapshot was restored: with the lease of a session that is still renewed, and unknown to it.
async fn an_entry_that_came_back_is_withdrawn(fixture: Fixture) {
    let (etcd, key) = (fixture.server(), fixture.key("k"));
    let (proxy, locks) = behind_proxy(&*etcd, "ttl=15s").await;
    let other = locks.lock(fixture.key("other")).acquire().await.unwrap();
    let guard = locks.lock(&key).acquire().await.unwrap();
    let (name, lease) = (etcd.left(&key).remove(0), etcd.lease(&key));
    guard.release().await.unwrap();
    etcd.ctl(&["put", &name, "", &format!("--lease={lease}")]);
    let waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&client(&fixture), &key, 1).await;
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&*etcd, &key).await;
    other.check().unwrap();
    other.release().await.unwrap();
    acquire_and_release(&locks, &key).await;
}
