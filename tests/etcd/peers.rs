//! Other clients of etcd: they exclude us and we exclude them.

use crate::client;
use distributed_locks::ErrorKind;
use serde_json::json;
use std::time::Duration;
use support::cases::Store;
use support::child::Child;
use support::etcd::{decode, encode};
use support::eventually;

const SOON: Duration = Duration::from_secs(10);

/// etcdctl as a holder, which says `holding` and gives the lock back when told so.
struct Etcdctl {
    child: Child,
    enough: tempfile::TempPath,
}

impl Etcdctl {
    fn lock(store: &Store, key: &str) -> Self {
        // The command that `etcdctl lock` runs has no stdin, so it holds for as long as a file is there.
        let enough = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let hold = format!("echo holding; while [ -e {} ]; do sleep 0.02; done", enough.display());
        let child = Child::start(&mut store.etcd().ctl_command(&["lock", "--ttl", "5", key, "sh", "--", "-c", &hold]));
        Self { child, enough }
    }

    fn give_back(self) -> Child {
        self.enough.close().unwrap();
        self.child
    }
}

pub(crate) async fn etcdctl_excludes_us(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let mut other = Etcdctl::lock(&store, &key);
    other.child.expect_line("holding", SOON);
    let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known(), "{busy}");
    let late = locks.lock(&key).wait(Duration::from_millis(300)).acquire().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let waiting = tokio::spawn({
        let (locks, key) = (locks.clone(), key.clone());
        async move { locks.lock(&key).acquire().await.unwrap() }
    });
    stands_in_line(&locks, &key, 1).await;
    assert!(!waiting.is_finished());
    let mut other = other.give_back();
    waiting.await.unwrap().release().await.unwrap();
    assert!(other.wait(SOON).success());
}

pub(crate) async fn we_exclude_etcdctl(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut other = Etcdctl::lock(&store, &key);
    stands_in_line(&locks, &key, 1).await;
    assert!(other.child.is_silent_about("holding", Duration::from_millis(300)));
    guard.release().await.unwrap();
    other.child.expect_line("holding", SOON);
    assert!(other.give_back().wait(SOON).success());
}

/// Waits until that many wait behind the holder.
async fn stands_in_line(locks: &distributed_locks::Locks, key: &str, waiters: usize) {
    eventually(SOON, async || {
        let line = locks.inspect(key).await.unwrap();
        match line.as_ref().map_or(0, |line| line.waiters.len()) {
            seen if seen == waiters => Ok(()),
            _ => Err(line),
        }
    })
    .await;
}

/// Takes the lock through the JSON gateway, on a lease of its own, and gives the key that unlocks it and the revision.
fn gateway_lock(store: &Store, key: &str) -> (String, u64) {
    let etcd = store.etcd();
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "30"}))["ID"].clone();
    let answer = etcd.gateway("/v3/lock/lock", &json!({"name": encode(key), "lease": lease}));
    let revision = answer["header"]["revision"].as_str().unwrap().parse().unwrap();
    (decode(answer["key"].as_str().unwrap()), revision)
}

fn gateway_unlock(store: &Store, owner: &str) {
    store.etcd().gateway("/v3/lock/unlock", &json!({"key": encode(owner)}));
}

pub(crate) async fn the_gateway_excludes_us(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let (owner, _) = gateway_lock(&store, &key);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    gateway_unlock(&store, &owner);
    locks.lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn we_exclude_the_gateway(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let other = tokio::task::spawn_blocking({
        let (store, key) = (store.clone(), key.clone());
        move || gateway_lock(&store, &key)
    });
    stands_in_line(&locks, &key, 1).await;
    assert!(!other.is_finished());
    guard.release().await.unwrap();
    let (owner, _) = other.await.unwrap();
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    gateway_unlock(&store, &owner);
}

/// A resource that both write to can compare our fence's number with the revision that other clients publish.
pub(crate) async fn fences_are_in_order_with_the_gateway(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let mut last = 0;
    for _ in 0..5 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let ours = guard.fence().number();
        assert!(ours > last, "{ours} after {last}");
        // The gateway waits behind us, so it acquires by our deletion.
        let other = tokio::task::spawn_blocking({
            let (store, key) = (store.clone(), key.clone());
            move || gateway_lock(&store, &key)
        });
        stands_in_line(&locks, &key, 1).await;
        guard.release().await.unwrap();
        let (owner, theirs) = other.await.unwrap();
        assert!(theirs > ours, "{theirs} after {ours}");
        gateway_unlock(&store, &owner);
        last = theirs;
    }
}
