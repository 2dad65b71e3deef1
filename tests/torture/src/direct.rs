//! The torture's own way to an etcd cluster, which no fault of the network touches: it looks on, and it does harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error, GetOptions};
use serde::Deserialize;

use crate::clock::{Nanos, now};
use crate::history::{Recorder, What};
use crate::lock::members::Members;

/// Clients of all members.
#[derive(Clone, Debug)]
pub struct Direct(Arc<Members>);

/// What an entry says of its owner, whoever wrote it.
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

impl Direct {
    /// To the members at these addresses.
    ///
    /// # Errors
    ///
    /// If an address is none.
    pub async fn to(endpoints: &[String]) -> Result<Self, Error> {
        Members::at(endpoints, Duration::from_secs(1)).await.map(|members| Self(Arc::new(members)))
    }

    /// Writes down which entries come and go, and whether the members agree, until it is dropped.
    pub async fn observe(self, recorder: Recorder) {
        tokio::join!(self.observe_entries(&recorder), self.observe_members(&recorder));
    }

    /// Asks the members every few seconds for a digest of all that they have at one revision.
    async fn observe_members(&self, recorder: &Recorder) {
        // A digest taken while a compaction is on its way may differ (etcd-io/etcd#15965): three in a row do not.
        let mut differed = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let Some((revision, agree)) = self.digests().await else { continue };
            differed = if agree { 0 } else { differed + 1 };
            if differed == 3 {
                recorder.record(What::Disagree { revision });
            }
        }
    }

    /// A revision, and whether all members that know it have the same there; `None` unless two of them do.
    async fn digests(&self) -> Option<(i64, bool)> {
        let shown = self.0.ask(|mut client| async move { client.get("none", None).await }).await?;
        let revision = shown.header()?.revision();
        let mut digests = Vec::new();
        for mut client in self.0.each().iter().cloned() {
            // One that is cut off, or behind, or has compacted it, does not answer.
            if let Ok(Ok(digest)) = tokio::time::timeout(Duration::from_secs(1), client.hash_kv(revision)).await {
                digests.push((digest.compact_version(), digest.hash()));
            }
        }
        let alike = |one: &(i64, u32), other: &(i64, u32)| one.0 != other.0 || one.1 == other.1;
        let agree = digests.iter().all(|one| digests.iter().all(|other| alike(one, other)));
        (digests.len() > 1).then_some((revision, agree))
    }

    async fn observe_entries(&self, recorder: &Recorder) {
        let mut known: BTreeMap<String, Nanos> = BTreeMap::new();
        loop {
            let asked = now();
            if let Some(entries) = self.entries().await {
                let shown: BTreeMap<String, Entry> =
                    entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
                for entry in shown.values().filter(|entry| !known.contains_key(&entry.name)) {
                    let (entry, key, pid) = (entry.name.clone(), entry.key.clone(), entry.pid);
                    recorder.record(What::Seen { entry, key, pid });
                }
                for (entry, last) in known.iter().filter(|(name, _)| !shown.contains_key(*name)) {
                    recorder.record(What::Vanished { entry: entry.clone(), last: *last });
                }
                // It was there at the earliest when it was asked for.
                known = shown.into_keys().map(|name| (name, asked)).collect();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Forgets every revision but the present one.
    pub async fn compact(&self) {
        let shown = self.0.ask(|mut client| async move { client.get("none", None).await }).await;
        let Some(revision) = shown.and_then(|shown| Some(shown.header()?.revision())) else { return };
        // Somebody may have done so already.
        let _ = self.0.ask(|mut client| async move { client.compact(revision, None).await }).await;
    }

    /// Rewrites the files of every member.
    pub async fn defragment(&self) {
        for client in self.0.each() {
            let _ = tokio::time::timeout(Duration::from_secs(2), client.clone().defragment()).await;
        }
    }

    /// Revokes every lease under which this process has an entry.
    pub async fn revoke_all_of(&self, pid: u32) {
        let entries = self.entries().await.unwrap_or_default();
        let mut leases: Vec<i64> = entries.iter().filter(|entry| entry.pid == pid).map(|entry| entry.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        for lease in leases {
            // It may be gone already.
            let _ = self.0.ask(|mut client| async move { client.lease_revoke(lease).await }).await;
        }
    }

    async fn entries(&self) -> Option<Vec<Entry>> {
        let all = GetOptions::new().with_prefix();
        let all = || Some(all.clone());
        let ask = |mut client: Client, all| async move { client.get(PREFIX, all).await };
        let answer = self.0.ask(|client| ask(client, all())).await?;
        let entry = |kv: &etcd_client::KeyValue| {
            let name = kv.key_str().ok()?;
            let owner: Owner = serde_json::from_slice(kv.value()).ok()?;
            Some(Entry {
                // A name may come back, the revision does not.
                name: format!("{name}@{}", kv.create_revision()),
                key: name.rsplit_once('/')?.0.to_owned(),
                pid: owner.pid,
                lease: kv.lease(),
            })
        };
        Some(answer.kvs().iter().filter_map(entry).collect())
    }
}
