//! Reporting every change of a holder, by a recursive watch in a session of its own.
//!
//! Of its own because servers before 3.9 confuse a recursive watch with others on the same node (ZOOKEEPER-4466). An
//! event only names the node that has changed; what became of it is asked for. A hold that is shorter than that may go
//! unreported.

use super::client::Client;
use super::config::Config;
use super::error::Failure;
use super::inspect::{self, QueuedEntry, Queues};
use super::names;
use super::queue::QueueNode;
use crate::contract::{Backoff, Change, Holders, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::World;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use zookeeper_client::{AddWatchMode, EventType, PersistentWatcher, WatchedEvent};

/// How many changes may be unread before no more are kept; once they are read, the current state is reported instead.
const UNREAD: usize = 256;

pub(super) async fn watch(config: Arc<Config>, world: World, scope: Scope) -> Result<Receiver<Change>, Error> {
    let client = inspect::open(&config, &world).await?;
    let (changes, receiver) = channel(UNREAD);
    let mut tracker = Tracker {
        client,
        scope,
        queues: Queues::new(),
        holders: Holders::default(),
        unsent: VecDeque::new(),
        skipped: false,
        changes,
    };
    let watcher = tracker.begin().await.map_err(|failure| tracker.client.error(failure, "/"))?;
    // The locks that are held already are no changes.
    tracker.unsent.clear();
    world.clone().spawn(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            biased;
            () = changes.closed() => {}
            error = tracker.run(config, world, watcher) => tracing::warn!(target: TARGET, error = %error.chain(), "locks can no longer be watched"),
        }
    });
    Ok(receiver)
}

struct Tracker {
    client: Client,
    scope: Scope,
    queues: Queues,
    /// The holders that were last reported, by the names of their nodes.
    holders: Holders<String>,
    unsent: VecDeque<Change>,
    /// Events were ignored, because what they would have reported was not read.
    skipped: bool,
    changes: Sender<Change>,
}

impl Tracker {
    /// Runs until ZooKeeper refuses.
    async fn run(mut self, config: Arc<Config>, world: World, mut watcher: PersistentWatcher) -> Error {
        let mut backoff = Backoff::of_stream(&world);
        loop {
            if let Err(failure) = self.follow(watcher).await
                && !failure.is_temporary()
                && self.client.is_open()
            {
                return self.client.error(failure, "/");
            }
            watcher = loop {
                backoff.wait().await;
                if !self.client.is_open() {
                    match inspect::open(&config, &world).await {
                        Ok(client) => self.client = client,
                        Err(error) if error.is_retryable() => continue,
                        Err(error) => return error,
                    }
                }
                match self.begin().await {
                    Ok(watcher) => break watcher,
                    Err(failure) if failure.is_temporary() || !self.client.is_open() => {}
                    Err(failure) => return self.client.error(failure, "/"),
                }
            };
        }
    }

    /// Sets the watch, and then reads everything: what differs from what was reported is a change.
    async fn begin(&mut self) -> Result<PersistentWatcher, Failure> {
        let node = self.client.config.node(&match &self.scope {
            Scope::Key(key) => names::path(key.as_str()),
            Scope::Prefix(prefix) => names::tree(prefix).0,
        });
        let watching =
            self.client.request(|client| async move { client.watch(&node, AddWatchMode::PersistentRecursive).await });
        let watcher = watching.await?;
        self.read_everything().await?;
        Ok(watcher)
    }

    async fn read_everything(&mut self) -> Result<(), Failure> {
        self.queues = inspect::read(&self.client, &self.scope).await?;
        let mut keys: Vec<Key> = self.holders.keys().chain(self.queues.keys()).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys.iter().for_each(|key| self.compare(key));
        Ok(())
    }

    /// What differs of a lock from what was reported is a change.
    fn compare(&mut self, key: &Key) {
        let queue = self.queues.get(key).map_or(&[] as &[_], Vec::as_slice);
        self.unsent.extend(self.holders.update(key, inspect::holders(queue).map(identified)));
    }

    /// Follows one watch until it can no longer be trusted (`Ok`), or until a request fails.
    async fn follow(&mut self, mut watcher: PersistentWatcher) -> Result<(), Failure> {
        let changes = self.changes.clone();
        loop {
            let event = tokio::select! {
                biased;
                Ok(permit) = changes.reserve(), if !self.unsent.is_empty() => {
                    if let Some(change) = self.unsent.pop_front() {
                        permit.send(change);
                    }
                    None
                }
                event = watcher.changed() => Some(event),
            };
            match event {
                // After a broken connection the client crate does not set these watches again.
                Some(event) if event.event_type == EventType::Session => return Ok(()),
                Some(_) if self.unsent.len() >= UNREAD => self.skipped = true,
                Some(event) => self.apply(&event).await?,
                None if self.skipped && self.unsent.is_empty() => {
                    self.skipped = false;
                    self.read_everything().await?;
                }
                None => {}
            }
        }
    }

    /// Looks at a node that has changed.
    async fn apply(&mut self, event: &WatchedEvent) -> Result<(), Failure> {
        let Some((parent, name)) = event.path.rsplit_once('/') else { return Ok(()) };
        let key = parent.strip_prefix(self.client.config.root.as_str()).and_then(names::key);
        let Some(key) = key.filter(|key| self.scope.contains(key.as_str())) else { return Ok(()) };
        let Some(node) = QueueNode::parse(name) else { return Ok(()) };
        let now = inspect::entry(&self.client, parent, node).await?;
        let queue = self.queues.entry(key.clone()).or_default();
        queue.retain(|entry| entry.node.name != name);
        if let Some(entry) = now {
            let sequence = entry.node.sequence;
            let at = queue.iter().position(|other| !other.node.is_before(sequence)).unwrap_or(queue.len());
            queue.insert(at, entry);
        }
        self.compare(&key);
        if self.queues.get(&key).is_some_and(Vec::is_empty) {
            self.queues.remove(&key);
        }
        Ok(())
    }
}

/// A holder, with the name that distinguishes its hold from others.
fn identified(entry: &QueuedEntry) -> (String, Holder) {
    (entry.node.name.clone(), entry.holder.clone())
}
