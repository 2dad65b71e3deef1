//! Reporting every change of holders, from the events of a range of keys.

use super::client::Client;
use super::error::Verdict;
use super::inspect::{self, Queues};
use super::queue::QueueKey;
use crate::contract::{Backoff, Change, Holders, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use etcd_client::{Event, KeyValue, WatchOptions};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many unread changes there may be before the watch waits for its reader.
const UNREAD: usize = 256;

/// What distinguishes two holds: the key and its create revision.
type HoldId = (i64, Vec<u8>);

pub(super) async fn watch(client: Arc<Client>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let (queues, revision) = inspect::read(&client, &scope).await?;
    let (changes, receiver) = channel(UNREAD);
    let world = client.world.clone();
    let mut tracker = Tracker { client, scope, queues, revision, holders: Holders::default(), changes };
    // The holders of the first look are no changes.
    drop(tracker.update(tracker.queues.locks().cloned().collect()));
    world.spawn(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            biased;
            () = changes.closed() => {}
            error = tracker.run() => tracing::warn!(target: TARGET, error = %error.chain(), "locks can no longer be watched"),
        }
    });
    Ok(receiver)
}

struct Tracker {
    client: Arc<Client>,
    scope: Scope,
    queues: Queues,
    /// What happened up to here is in `queues`.
    revision: i64,
    /// Who was last reported to hold each lock.
    holders: Holders<HoldId>,
    changes: Sender<Change>,
}

/// How a stream ended.
enum StreamEnd {
    /// A new one can go on from where it broke.
    Broken,
    /// It cannot: that revision is no longer kept, or etcd does not permit the watch, which a read will show.
    Refused,
}

impl Tracker {
    /// Runs until etcd refuses.
    async fn run(mut self) -> Error {
        let mut backoff = Backoff::of_stream(&self.client.world);
        loop {
            let end = self.follow().await;
            backoff.wait().await;
            if matches!(end, StreamEnd::Broken) {
                continue;
            }
            match inspect::read(&self.client, &self.scope).await {
                Ok((queues, revision)) => {
                    (self.queues, self.revision) = (queues, revision);
                    let locks = self.queues.locks().chain(self.holders.keys()).cloned().collect();
                    self.report(locks).await;
                }
                Err(failure) if failure.verdict.is_permanent() => return failure.error,
                Err(failure) => {
                    tracing::debug!(target: TARGET, error = %failure.error.chain(), "locks cannot be watched for now")
                }
            }
        }
    }

    /// Follows one stream until it ends.
    async fn follow(&mut self) -> StreamEnd {
        let (first, end) = inspect::range(&self.client.config.namespace, &self.scope);
        let options = WatchOptions::new().with_range(end).with_start_revision(self.revision + 1);
        let (connection, mut stream) = match self.client.watch_separately(&first, &options).await {
            Ok(opened) => opened,
            Err(failure) if failure.verdict == Verdict::AnotherMember => return StreamEnd::Broken,
            Err(_) => return StreamEnd::Refused,
        };
        loop {
            let response = match stream.message().await {
                Ok(Some(response)) => response,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(target: TARGET, error = %Chain::of(&error), "a watch of locks broke");
                    break;
                }
            };
            // A store that is behind what was read would report nothing until it has come as far again.
            let is_behind = response.header().is_some_and(|header| header.revision() < self.revision);
            if response.canceled() || (response.created() && is_behind) {
                return StreamEnd::Refused;
            }
            // One response may have many revisions, and the holder may have changed with each.
            for events in response.events().chunk_by(|one, next| revision(one) == revision(next)) {
                let locks: Vec<Key> = events.iter().filter_map(|event| self.apply(event)).collect();
                self.revision = events.first().map_or(0, revision).max(self.revision);
                self.report(locks).await;
            }
        }
        self.client.avoid(connection.member);
        StreamEnd::Broken
    }

    /// Notes what happened to a key; returns the lock to which it belongs.
    fn apply(&mut self, event: &Event) -> Option<Key> {
        let kv = event.kv()?;
        let namespace = &self.client.config.namespace;
        // A deleted key has no version.
        if kv.version() == 0 {
            return self.queues.remove(namespace, kv.key());
        }
        self.queues.insert(namespace, &self.scope, QueueKey::from(kv))
    }

    /// Reports which of `locks` have another holder. That the receiver was dropped is noticed elsewhere.
    async fn report(&mut self, locks: Vec<Key>) {
        for change in self.update(locks) {
            let _ = self.changes.send(change).await;
        }
    }

    fn update(&mut self, mut locks: Vec<Key>) -> Vec<Change> {
        locks.sort_unstable();
        locks.dedup();
        let mut changes = Vec::new();
        for lock in locks {
            let holders = self.queues.holders(&self.scope, &lock);
            changes.extend(self.holders.update(&lock, holders.into_iter().map(identified)));
        }
        changes
    }
}

fn identified(key: &QueueKey) -> (HoldId, Holder) {
    ((key.created, key.key.clone()), key.holder())
}

fn revision(event: &Event) -> i64 {
    event.kv().map_or(0, KeyValue::mod_revision)
}
