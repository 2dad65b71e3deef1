//! Telling of every change of holder, from the events of a range of keys.

use super::cluster::Cluster;
use super::inspect::{self, Lines};
use super::line::Place;
use super::status::Verdict;
use crate::contract::beside;
use crate::contract::pause::Pause;
use crate::contract::{Change, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use etcd_client::{Event, WatchOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many changes may lie unread before the watch waits for its reader.
const UNREAD: usize = 256;

pub(super) async fn watch(cluster: Arc<Cluster>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let (lines, revision) = inspect::read(&cluster, &scope).await?;
    let (changes, receiver) = channel(UNREAD);
    let mut tracker = Tracker { cluster, scope, lines, revision, owners: BTreeMap::new(), changes };
    tracker.owners = tracker.owners_now();
    beside(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            () = changes.closed() => {}
            error = tracker.run() => tracing::warn!(%error, "locks can no longer be watched"),
        }
    });
    Ok(receiver)
}

struct Tracker {
    cluster: Arc<Cluster>,
    scope: Scope,
    lines: Lines,
    /// What happened up to here is in `lines`.
    revision: i64,
    /// Who was last told to hold each lock.
    owners: BTreeMap<Key, Place>,
    changes: Sender<Change>,
}

/// How a stream ended.
enum End {
    /// A new one can go on from where it broke.
    Broken,
    /// It cannot: that revision is no longer kept, or etcd does not permit the watch, which a read will tell.
    Refused,
}

impl Tracker {
    /// Runs until etcd refuses.
    async fn run(mut self) -> Error {
        let mut pause = Pause::default();
        loop {
            let end = self.follow().await;
            pause.wait().await;
            if matches!(end, End::Broken) {
                continue;
            }
            match inspect::read(&self.cluster, &self.scope).await {
                Ok((lines, revision)) => {
                    (self.lines, self.revision) = (lines, revision);
                    let locks: Vec<Key> = self.lines.locks().chain(self.owners.keys()).cloned().collect();
                    self.tell(locks).await;
                }
                Err(failure) if matches!(failure.verdict, Verdict::Refused | Verdict::Hopeless) => {
                    return failure.error;
                }
                Err(failure) => tracing::debug!(error = %failure.error, "locks cannot be watched for now"),
            }
        }
    }

    /// Follows one stream until it ends.
    async fn follow(&mut self) -> End {
        let (first, end) = inspect::range(&self.cluster.config.namespace, &self.scope);
        let options = WatchOptions::new().with_range(end).with_start_revision(self.revision + 1);
        let (link, mut stream) = match self.cluster.watch_apart(&first, &options).await {
            Ok(opened) => opened,
            Err(failure) if failure.verdict == Verdict::Elsewhere => return End::Broken,
            Err(_) => return End::Refused,
        };
        loop {
            let response = match stream.message().await {
                Ok(Some(response)) => response,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a watch of locks broke");
                    break;
                }
            };
            if response.canceled() {
                return End::Refused;
            }
            // One answer may bring many revisions, and the holder may have changed with each.
            for events in response.events().chunk_by(|one, next| revision(one) == revision(next)) {
                let locks: Vec<Key> = events.iter().filter_map(|event| self.apply(event)).collect();
                self.revision = events.first().map_or(0, revision).max(self.revision);
                self.tell(locks).await;
            }
        }
        self.cluster.suspect(link.member);
        End::Broken
    }

    fn apply(&mut self, event: &Event) -> Option<Key> {
        let kv = event.kv()?;
        let namespace = &self.cluster.config.namespace;
        // A deleted key has no version.
        if kv.version() == 0 {
            return self.lines.remove(namespace, kv.key());
        }
        self.lines.put(namespace, &self.scope, Place::from(kv))
    }

    /// Tells whose holder has changed. A sender without a receiver is noticed elsewhere.
    async fn tell(&mut self, mut locks: Vec<Key>) {
        locks.sort_unstable();
        locks.dedup();
        for lock in locks {
            let now = self.lines.owner(&self.scope, &lock).cloned();
            let before = self.owners.get(&lock);
            let same = |now: &Place, before: &Place| (now.created, &now.key) == (before.created, &before.key);
            match (&now, before) {
                (Some(now), Some(before)) if same(now, before) => continue,
                (None, None) => continue,
                _ => {}
            }
            if self.owners.remove(&lock).is_some() {
                let _ = self.changes.send(Change::Released(lock.clone())).await;
            }
            if let Some(now) = now {
                let _ = self.changes.send(Change::Acquired(lock.clone(), now.holder())).await;
                self.owners.insert(lock, now);
            }
        }
    }

    fn owners_now(&self) -> BTreeMap<Key, Place> {
        let owner = |lock: &Key| Some((lock.clone(), self.lines.owner(&self.scope, lock)?.clone()));
        self.lines.locks().filter_map(owner).collect()
    }
}

fn revision(event: &Event) -> i64 {
    event.kv().map_or(0, etcd_client::KeyValue::mod_revision)
}
