//! Telling of every change of holder, from the events of a range of keys.

use super::background;
use super::cluster::Cluster;
use super::inspect::{self, Lines};
use super::line::Place;
use super::pause::Pause;
use super::status::Verdict;
use crate::backend::{Change, Scope};
use crate::error::Error;
use crate::key::Key;
use etcd_client::{Event, WatchOptions, WatchStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many changes may lie unread before the watch waits for its reader.
const UNREAD: usize = 256;

pub(super) async fn watch(cluster: Arc<Cluster>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let (lines, revision) = inspect::read(&cluster, &scope).await?;
    let (changes, receiver) = channel(UNREAD);
    let mut tracker = Tracker { cluster, scope, lines, owners: BTreeMap::new(), changes };
    tracker.owners = tracker.owners_now();
    background(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            () = changes.closed() => {}
            error = tracker.run(revision) => tracing::warn!(%error, "locks can no longer be watched"),
        }
    });
    Ok(receiver)
}

struct Tracker {
    cluster: Arc<Cluster>,
    scope: Scope,
    lines: Lines,
    /// Who was last told to hold each lock.
    owners: BTreeMap<Key, Place>,
    changes: Sender<Change>,
}

impl Tracker {
    /// Runs until etcd refuses.
    async fn run(mut self, mut revision: i64) -> Error {
        let mut pause = Pause::default();
        loop {
            let broken = self.follow(revision + 1).await;
            tracing::debug!(?broken, "watching locks anew");
            pause.wait().await;
            match inspect::read(&self.cluster, &self.scope).await {
                Ok((lines, now)) => {
                    self.lines = lines;
                    revision = now;
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

    /// Follows one stream until it breaks.
    async fn follow(&mut self, start: i64) -> Option<()> {
        let (first, end) = inspect::range(&self.cluster.config.namespace, &self.scope);
        let options = WatchOptions::new().with_range(end).with_start_revision(start);
        let opened = self.cluster.call(self.cluster.config.attempt(), |mut link| {
            let (first, options) = (first.clone(), options.clone());
            async move { Ok((link.member, link.watch.watch(first, Some(options)).await?)) }
        });
        let (member, mut stream): (usize, WatchStream) = opened.await.ok()?;
        while let Ok(Some(response)) = stream.message().await {
            if response.canceled() {
                break;
            }
            let locks: Vec<Key> = response.events().iter().filter_map(|event| self.apply(event)).collect();
            self.tell(locks).await;
        }
        self.cluster.suspect(member);
        Some(())
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
