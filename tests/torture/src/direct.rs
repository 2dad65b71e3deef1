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

    /// Writes down which entries come and go, until it is dropped.
    pub async fn observe(self, recorder: Recorder) {
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
