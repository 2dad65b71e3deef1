//! Telling of every change of holder, by a recursive watch on a session of its own.
//!
//! Of its own because servers before 3.9 mix up a recursive watch and others on the same node (ZOOKEEPER-4466). An event
//! only says which node changed, and what became of it is asked for. A hold that is shorter than that may go untold.

use super::config::Config;
use super::inspect::{self, Lines, Standing};
use super::link::{Link, Trouble};
use super::names::{self, Place};
use crate::contract::beside;
use crate::contract::pause::Pause;
use crate::contract::{Change, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use zookeeper_client::{AddWatchMode, EventType, PersistentWatcher, WatchedEvent};

/// How many changes may lie unread before they are no longer kept, and the state is told instead when there is a reader.
const UNREAD: usize = 256;

pub(super) async fn watch(config: Arc<Config>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let link = inspect::open(&config).await?;
    let (changes, receiver) = channel(UNREAD);
    let mut tracker = Tracker {
        link,
        scope,
        lines: Lines::new(),
        owners: BTreeMap::new(),
        untold: VecDeque::new(),
        skipped: false,
        changes,
    };
    let watcher = tracker.begin().await.map_err(|trouble| tracker.link.error(trouble, "/"))?;
    // Who holds now has been there before, and is not told.
    tracker.untold.clear();
    beside(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            () = changes.closed() => {}
            error = tracker.run(config, watcher) => tracing::warn!(%error, "locks can no longer be watched"),
        }
    });
    Ok(receiver)
}

struct Tracker {
    link: Link,
    scope: Scope,
    lines: Lines,
    /// Who was last told to hold each lock.
    owners: BTreeMap<Key, Standing>,
    untold: VecDeque<Change>,
    /// Events have come that were not looked at, because nobody read what they would have told.
    skipped: bool,
    changes: Sender<Change>,
}

impl Tracker {
    /// Runs until ZooKeeper refuses.
    async fn run(mut self, config: Arc<Config>, mut watcher: PersistentWatcher) -> Error {
        let mut pause = Pause::default();
        loop {
            let trouble = self.follow(watcher).await;
            watcher = loop {
                if let Some(trouble) = &trouble
                    && !trouble.is_passing(&config)
                    && self.link.is_open()
                {
                    return Error::unavailable(format!("watching failed: {trouble:?}"));
                }
                pause.wait().await;
                if !self.link.is_open() {
                    match inspect::open(&config).await {
                        Ok(link) => self.link = link,
                        Err(error) if error.is_retryable() => continue,
                        Err(error) => return error,
                    }
                }
                match self.begin().await {
                    Ok(watcher) => break watcher,
                    Err(trouble) if trouble.is_passing(&config) || !self.link.is_open() => {}
                    Err(trouble) => return self.link.error(trouble, "/"),
                }
            };
        }
    }

    /// Watches and reads everything; what differs from what was told is to be told.
    async fn begin(&mut self) -> Result<PersistentWatcher, Trouble> {
        let node = self.link.config.node(&match &self.scope {
            Scope::Key(key) => names::path(key.as_str()),
            Scope::Prefix(prefix) => names::tree(prefix).0,
        });
        let watching =
            self.link.ask(|client| async move { client.watch(&node, AddWatchMode::PersistentRecursive).await });
        let watcher = watching.await?;
        self.read_again().await?;
        Ok(watcher)
    }

    async fn read_again(&mut self) -> Result<(), Trouble> {
        self.lines = inspect::read(&self.link, &self.scope).await?;
        let locks: Vec<Key> = self.lines.keys().chain(self.owners.keys()).cloned().collect();
        locks.iter().for_each(|lock| self.compare(lock));
        Ok(())
    }

    /// Follows one watch until it can no longer be trusted, and tells why if it was a request that failed.
    async fn follow(&mut self, mut watcher: PersistentWatcher) -> Option<Trouble> {
        let changes = self.changes.clone();
        loop {
            let event = tokio::select! {
                biased;
                Ok(permit) = changes.reserve(), if !self.untold.is_empty() => {
                    if let Some(change) = self.untold.pop_front() {
                        permit.send(change);
                    }
                    None
                }
                event = watcher.changed() => Some(event),
            };
            match event {
                // After a broken connection the crate does not set these watches anew.
                Some(event) if event.event_type == EventType::Session => return None,
                Some(_) if self.untold.len() >= UNREAD => self.skipped = true,
                Some(event) => {
                    if let Err(trouble) = self.apply(&event).await {
                        return Some(trouble);
                    }
                }
                None if self.skipped && self.untold.is_empty() => {
                    self.skipped = false;
                    if let Err(trouble) = self.read_again().await {
                        return Some(trouble);
                    }
                }
                None => {}
            }
        }
    }

    /// Looks at a node that has changed.
    async fn apply(&mut self, event: &WatchedEvent) -> Result<(), Trouble> {
        let Some((node, name)) = event.path.rsplit_once('/') else { return Ok(()) };
        let lock = node.strip_prefix(self.link.config.root.as_str()).and_then(names::key);
        let Some(lock) = lock.filter(|lock| self.scope.contains(lock.as_str())) else { return Ok(()) };
        let Some(place) = Place::read(name) else { return Ok(()) };
        let now = inspect::standing(&self.link, node, place).await?;
        let line = self.lines.entry(lock.clone()).or_default();
        line.retain(|standing| standing.place.name != name);
        if let Some(standing) = now {
            let sequence = standing.place.sequence;
            let at = line.iter().position(|other| !other.place.is_before(sequence)).unwrap_or(line.len());
            line.insert(at, standing);
        }
        if line.is_empty() {
            self.lines.remove(&lock);
        }
        self.compare(&lock);
        Ok(())
    }

    /// Notes what is to be told of a lock, if its holder has changed.
    fn compare(&mut self, lock: &Key) {
        let now = self.lines.get(lock).and_then(|line| line.first());
        let name = |standing: &Standing| standing.place.name.clone();
        if now.map(name) == self.owners.get(lock).map(name) {
            return;
        }
        if self.owners.remove(lock).is_some() {
            self.untold.push_back(Change::Released(lock.clone()));
        }
        if let Some(now) = now {
            self.untold.push_back(Change::Acquired(lock.clone(), now.holder.clone()));
            self.owners.insert(lock.clone(), now.clone());
        }
    }
}
