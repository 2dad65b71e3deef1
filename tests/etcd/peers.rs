//! Other clients of etcd: they exclude us and we exclude them.

use std::process::Command;

use distributed_locks::Mode;
use serde_json::json;
use support::cases;
use support::cases::{Case, Fixture};
use support::child::Child;
use support::etcd::{decode, encode};
use support::peers::Peer;
use support::scenarios::peers::{ForOneLock, Release, Waits, each_excludes_the_other, each_excludes_the_other_as};
use support::scenarios::{client, queued};

mod driven;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        etcdctl_excludes_us_and_we_etcdctl,
        etcdctl_excludes_our_readers_and_permits_and_they_etcdctl,
        the_gateway_excludes_us,
        we_exclude_the_gateway,
        fences_are_in_order_with_the_gateway,
    ];
    cases.push(Case::new("peers::the_newest_etcdctl_and_we", the_newest_etcdctl_and_we).with(Peer::Etcdctl));
    cases.extend(driven::cases());
    cases
}

/// `etcdctl lock`. The command that it runs has no stdin, so it holds for as long as a file is there, and etcdctl is.
fn etcdctl(mut command: Command, key: &str) -> ForOneLock {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let hold = format!("echo holding; while [ -e {} ] && kill -0 $PPID; do sleep 0.02; done", file.display());
    let process = Child::start(command.args(["lock", "--ttl", "30", key, "sh", "--", "-c", &hold]));
    ForOneLock { process, release: Some(Release::Removal(file)) }
}

async fn etcdctl_excludes_us_and_we_etcdctl(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || etcdctl(fixture.server().ctl_command(&[]), &key)).await;
}

async fn etcdctl_excludes_our_readers_and_permits_and_they_etcdctl(fixture: Fixture) {
    let locks = client(&fixture);
    for (key, mode) in [("readers", Mode::Shared), ("permits", Mode::Permits(3))] {
        let key = fixture.key(key);
        let begin = || etcdctl(fixture.server().ctl_command(&[]), &key);
        each_excludes_the_other_as(mode, &locks, &key, Waits::InTheQueue, begin).await;
    }
}

/// Of the version of Go's client, against every version of the server.
async fn the_newest_etcdctl_and_we(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let begin = || {
        let mut command = Peer::Etcdctl.command();
        command.arg(format!("--endpoints={}", fixture.server().endpoint()));
        etcdctl(command, &key)
    };
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, begin).await;
}

/// Acquires the lock through the JSON gateway, on a lease of its own. Returns the key that unlocks it, and the revision.
fn gateway_lock(fixture: &Fixture, key: &str) -> (String, u64) {
    let etcd = fixture.server();
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "600"}))["ID"].clone();
    let answer = etcd.gateway("/v3/lock/lock", &json!({"name": encode(key), "lease": lease}));
    let revision = answer["header"]["revision"].as_str().unwrap().parse().unwrap();
    (decode(answer["key"].as_str().unwrap()), revision)
}

fn gateway_unlock(fixture: &Fixture, owner: &str) {
    fixture.server().gateway("/v3/lock/unlock", &json!({"key": encode(owner)}));
}

async fn the_gateway_excludes_us(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let (owner, _) = gateway_lock(&fixture, &key);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    gateway_unlock(&fixture, &owner);
    locks.lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

async fn we_exclude_the_gateway(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let other = tokio::task::spawn_blocking({
        let (fixture, key) = (fixture.clone(), key.clone());
        move || gateway_lock(&fixture, &key)
    });
    queued(&locks, &key, 1).await;
    assert!(!other.is_finished());
    guard.release().await.unwrap();
    let (owner, _) = other.await.unwrap();
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    gateway_unlock(&fixture, &owner);
}

/// A resource that both write to can compare our fence's number with the revision that other clients publish.
async fn fences_are_in_order_with_the_gateway(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let mut last = 0;
    for _ in 0..5 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let ours = guard.fence().number();
        assert!(ours > last, "{ours} after {last}");
        // The gateway waits behind us, so it acquires by our deletion.
        let other = tokio::task::spawn_blocking({
            let (fixture, key) = (fixture.clone(), key.clone());
            move || gateway_lock(&fixture, &key)
        });
        queued(&locks, &key, 1).await;
        guard.release().await.unwrap();
        let (owner, theirs) = other.await.unwrap();
        assert!(theirs > ours, "{theirs} after {ours}");
        gateway_unlock(&fixture, &owner);
        last = theirs;
    }
}
