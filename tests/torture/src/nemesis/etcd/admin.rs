//! The torture's own connections to an etcd cluster, which no fault of the network affects: for the observer, and for
//! the faults that are requests to the store.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, GetOptions, ResponseHeader};

use super::retries::Retries;
use crate::history::{EventKind, Recorder};
use crate::lock::members::Members;
use crate::nemesis::observer::{Entry, pid_in};

/// Clients of all members.
#[derive(Clone, Debug)]
pub struct Admin {
    members: Arc<Members>,
    /// The cluster that is observed; 0 before its first answer. A member's address may lead to another one.
    cluster: Arc<AtomicU64>,
}

/// An entry in the store, with the lease that it is under.
struct Leased {
    entry: Entry,
    lease: i64,
}

/// Of everything that the workers have in the store.
pub(super) const PREFIX: &str = "/torture/";

impl Admin {
    /// To the members at these addresses; as root, if they have users.
    ///
    /// # Errors
    ///
    /// If an address is invalid.
    pub async fn connect(endpoints: &[String], with_users: bool) -> Result<Self, Error> {
        let root = ConnectOptions::new().with_user("root", "root").with_auto_token_refresh(true);
        let options = with_users.then_some(root);
        let members = Arc::new(Members::connect_with(endpoints, Duration::from_secs(1), options).await?);
        Ok(Self { members, cluster: Arc::default() })
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// The cluster that answers next is the one to be observed.
    pub(super) fn forget_identity(&self) {
        self.cluster.store(0, Ordering::Release);
    }

    /// Refuses what another cluster answered.
    fn own(&self, header: Option<&ResponseHeader>) -> Result<(), Error> {
        let answered = header.map_or(0, ResponseHeader::cluster_id);
        match self.cluster.compare_exchange(0, answered, Ordering::AcqRel, Ordering::Acquire) {
            Err(own) if own != answered => Err(Error::InvalidArgs("another cluster answered".to_owned())),
            _ => Ok(()),
        }
    }

    /// The store's present revision.
    async fn revision(&self) -> Option<i64> {
        let get = |mut client: Client| async move {
            let answer = client.get("none", None).await?;
            self.own(answer.header()).map(|()| answer)
        };
        self.members.request(get).await.and_then(|answer| Some(answer.header()?.revision()))
    }

    /// Compares the members' hashes of everything that they have at one revision, every few seconds.
    pub async fn observe_members(&self, recorder: &Recorder) {
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
        let revision = self.revision().await?;
        let mut hashes = Vec::new();
        for mut client in self.members.clients().iter().cloned() {
            // A member that is cut off, or behind, or has compacted the revision, does not answer.
            if let Ok(Ok(hash)) = tokio::time::timeout(Duration::from_secs(1), client.hash_kv(revision)).await
                && self.own(hash.header()).is_ok()
            {
                hashes.push((hash.compact_version(), hash.hash()));
            }
        }
        // Only hashes from the same compaction on can be compared.
        let agree = |one: &(i64, u32), other: &(i64, u32)| one.0 != other.0 || one.1 == other.1;
        let all_agree = hashes.iter().all(|one| hashes.iter().all(|other| agree(one, other)));
        (hashes.len() > 1).then_some((revision, all_agree))
    }

    /// Everything that holds or waits; `None` if no member answers.
    pub async fn entries(&self) -> Option<Vec<Entry>> {
        Some(self.leased().await?.into_iter().map(|leased| leased.entry).collect())
    }

    /// The keys that should not be there when nobody holds or waits.
    pub async fn left_behind(&self) -> Vec<String> {
        let left = self.entries().await.unwrap_or_default();
        left.into_iter().map(|entry| entry.name).collect()
    }

    /// Compacts the store's history up to the present revision.
    pub async fn compact(&self) {
        let Some(revision) = self.revision().await else { return };
        // Fails if that revision is compacted already.
        let _ = self.members.request(|mut client| async move { client.compact(revision, None).await }).await;
    }

    /// Defragments every member, one after the other, each for so long at most.
    pub async fn defragment(&self, limit: Duration) {
        for client in self.members.clients() {
            let _ = tokio::time::timeout(limit, client.clone().defragment()).await;
        }
    }

    /// Puts something that nobody needs so many times.
    pub(super) async fn write_noise(&self, times: usize) {
        for _ in 0..times {
            let _ = self.members.request(|mut client| async move { client.put("noise", "x", None).await }).await;
        }
    }

    /// Saves what a member has, as `etcdctl snapshot save` does.
    pub(super) async fn save_snapshot(&self, file: &Path) {
        let retries = Retries::begin();
        for client in self.members.clients().iter().cycle() {
            match save(client.clone(), file).await {
                Ok(()) => return,
                Err(failure) => retries.after(failure).await,
            }
        }
    }

    /// Revokes every lease under which this process has an entry.
    pub async fn revoke_leases_of(&self, pid: u32) {
        let leased = self.leased().await.unwrap_or_default();
        let mut leases: Vec<i64> =
            leased.iter().filter(|leased| leased.entry.pid == pid).map(|leased| leased.lease).collect();
        leases.sort_unstable();
        leases.dedup();
        for lease in leases {
            // Fails if it is gone already.
            let _ = self.members.request(|mut client| async move { client.lease_revoke(lease).await }).await;
        }
    }

    async fn leased(&self) -> Option<Vec<Leased>> {
        let with_prefix = || Some(GetOptions::new().with_prefix());
        let get = |mut client: Client, options| async move {
            let answer = client.get(PREFIX, options).await?;
            self.own(answer.header()).map(|()| answer)
        };
        let answer = self.members.request(|client| get(client, with_prefix())).await?;
        let leased = |kv: &etcd_client::KeyValue| {
            let name = kv.key_str().ok()?;
            // A name may be used again, but not with the same revision.
            let unique = format!("{name}@{}", kv.create_revision());
            let (key, last) = name.rsplit_once('/')?;
            let (key, pid) = (key.to_owned(), pid_in(kv.value_str().ok()?)?);
            // Every naive lock's key without a line has one name.
            let request = last.contains('-').then(|| last.to_owned());
            Some(Leased { entry: Entry { name: unique, key, pid, request }, lease: kv.lease() })
        };
        Some(answer.kvs().iter().filter_map(leased).collect())
    }
}

/// The stream ends with a hash of what it sent, which is a part of the file.
async fn save(mut client: Client, path: &Path) -> io::Result<()> {
    let mut stream = client.snapshot().await.map_err(io::Error::other)?;
    let mut file = Vec::new();
    while let Some(part) = stream.message().await.map_err(io::Error::other)? {
        file.extend_from_slice(part.blob());
    }
    std::fs::write(path, file)
}
