//! The torture's own connections to an etcd cluster, which no fault of the network affects: for the observer, and for
//! the faults that are requests to the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error, GetOptions};
use serde::Deserialize;

use crate::clock::{Nanos, nanos, now};
use crate::history::{EventKind, Recorder};
use crate::lock::members::Members;

/// Clients of all members.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Members>);

/// What the record of an entry has about its owner, whichever lock wrote it.
#[derive(Deserialize)]
struct Owner {
    pid: u32,
}

/// An entry in the store.
struct Entry {
    name: String,
    key: String,
    pid: u32,
    lease: i64,
}

const PREFIX: &str = "/torture/";

/// A store that is well answers sooner.
const SILENCE: Duration = Duration::from_millis(500);

impl Admin {
    /// To the members at these addresses.
    ///
    /// # Errors
    ///
    /// If an address is invalid.
    pub async fn connect(endpoints: &[String]) -> Result<Self, Error> {
        Members::connect(endpoints, Duration::from_secs(1)).await.map(|members| Self(Arc::new(members)))
    }

    /// Records which entries appear and disappear, and whether the members agree, until it is dropped.
    pub async fn observe(self, recorder: Recorder) {
        tokio::join!(self.observe_entries(&recorder), self.observe_members(&recorder));
    }

    /// Compares the members' hashes of everything that they have at one revision, every few seconds.
    async fn observe_members(&self, recorder: &Recorder) {
        // A hash that is computed during a compaction may differ (etcd-io/etcd#15965): three in a row do not.
        let mut differed = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let Some((revision, agree)) = self.compare_hashes().await else { continue };
            differed = if agree { 0 } else { differed + 1 };
            if differed == 3 {
                recorder.record(EventKind::MembersDiffer { revision });
            }
        }
    }

    /// A revision, and whether all members that know it have the same contents there; `None` unless two of them answer.
    async fn compare_hashes(&self) -> Option<(i64, bool)> {
        let answer = self.0.request(|mut client| async move { client.get("none", None).await }).await?;
        let revision = answer.header()?.revision();
        let mut hashes = Vec::new();
        for mut client in self.0.clients().iter().cloned() {
            // A member that is cut off, or behind, or has compacted the revision, does not answer.
            if let Ok(Ok(hash)) = tokio::time::timeout(Duration::from_secs(1), client.hash_kv(revision)).await {
                hashes.push((hash.compact_version(), hash.hash()));
            }
        }
        // Only hashes from the same compaction on can be compared.
        let agree = |one: &(i64, u32), other: &(i64, u32)| one.0 != other.0 || one.1 == other.1;
        let all_agree = hashes.iter().all(|one| hashes.iter().all(|other| agree(one, other)));
        (hashes.len() > 1).then_some((revision, all_agree))
    }

    async fn observe_entries(&self, recorder: &Recorder) {
        let mut known: BTreeMap<String, Nanos> = BTreeMap::new();
        loop {
            let requested = now();
            let entries = self.entries().await;
            if entries.is_none() || now() - requested > nanos(SILENCE) {
                recorder.record(EventKind::StoreSilent { requested });
            }
            if let Some(entries) = entries {
                let present: BTreeMap<String, Entry> =
                    entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
                for entry in present.values().filter(|entry| !known.contains_key(&entry.name)) {
                    let (entry, key, pid) = (entry.name.clone(), entry.key.clone(), entry.pid);
                    recorder.record(EventKind::EntryAppeared { entry, key, pid });
                }
                for (entry, last_seen) in known.iter().filter(|(name, _)| !present.contains_key(*name)) {
                    let (entry, last_seen) = (entry.clone(), *last_seen);
                    recorder.record(EventKind::EntryDisappeared { entry, last_seen });
                }
                // It was certainly there when the request was sent.
                known = present.into_keys().map(|name| (name, requested)).collect();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Compacts the store's history up to the present revision.
    pub async fn compact(&self) {
        let answer = self.0.request(|mut client| async move { client.get("none", None).await }).await;
        let Some(revision) = answer.and_then(|answer| Some(answer.header()?.revision())) else { return };
        // Fails if that revision is compacted already.
        let _ = self.0.request(|mut client| async move { client.compact(revision, None).await }).await;
    }

    /// Defragments every member, one after the other.
    pub async fn defragment(&self) {
        for client in self.0.clients() {
            let _ = tokio::time::timeout(Duration::from_secs(2), client.clone().defragment()).await;
        }
    }

    /// Revokes every lease under which this process has an entry.
    pub async fn revoke_leases_of(&self, pid: u32) {
        let entries = self.entries().await.unwrap_or_default();
        let mut leases: Vec<i64> = entries.iter().filter(|entry| entry.pid == pid).map(|entry| entry.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        for lease in leases {
            // Fails if it is gone already.
            let _ = self.0.request(|mut client| async move { client.lease_revoke(lease).await }).await;
        }
    }

    async fn entries(&self) -> Option<Vec<Entry>> {
        let with_prefix = || Some(GetOptions::new().with_prefix());
        let get = |mut client: Client, options| async move { client.get(PREFIX, options).await };
        let answer = self.0.request(|client| get(client, with_prefix())).await?;
        let entry = |kv: &etcd_client::KeyValue| {
            let name = kv.key_str().ok()?;
            let owner: Owner = serde_json::from_slice(kv.value()).ok()?;
            Some(Entry {
                // A name may be used again, but not with the same revision.
                name: format!("{name}@{}", kv.create_revision()),
                key: name.rsplit_once('/')?.0.to_owned(),
                pid: owner.pid,
                lease: kv.lease(),
            })
        };
        Some(answer.kvs().iter().filter_map(entry).collect())
    }
}
