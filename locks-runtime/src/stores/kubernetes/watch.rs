//! Reporting every change of holders and waiters: one watch of the namespace, or of one Lease.

use super::client::Client;
use super::lease::Lease;
use super::names;
use super::stream::{Event, Stream};
use crate::contract::{Backoff, Change, Reported, Scope, Seen};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::MissedTickBehavior;

/// How many changes may wait to be read. Whoever does not read them gets fewer, and the latest.
const UNREAD: usize = 128;
const KEPT: usize = 2048;
/// How often to see whether a hold has lapsed, of which no event tells.
const LAPSES_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn watch(client: Arc<Client>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let (changes, receiver) = channel(UNREAD);
    let mut watcher = Watcher {
        client,
        scope,
        now: BTreeMap::new(),
        changed: BTreeSet::new(),
        reported: Reported::default(),
        unread: VecDeque::new(),
        changes,
    };
    // What is held already is no change.
    let version = watcher.look().await?;
    watcher.unread.clear();
    let stream = watcher.open(&version).await?;
    let world = watcher.client.world.clone();
    world.spawn(async move {
        let changes = watcher.changes.clone();
        tokio::select! {
            biased;
            () = changes.closed() => {}
            () = watcher.run(stream) => {}
        }
    });
    Ok(receiver)
}

/// A lock as it was seen last, and when it lapses.
struct Last {
    seen: Seen<String>,
    lapses_at: Option<Moment>,
}

struct Watcher {
    client: Arc<Client>,
    scope: Scope,
    now: BTreeMap<Key, Last>,
    /// What has changed since it was reported.
    changed: BTreeSet<Key>,
    /// What was last reported, holds by the identities of their holders.
    reported: Reported<String>,
    unread: VecDeque<Change>,
    changes: Sender<Change>,
}

impl Watcher {
    /// Whether the receiver of the changes was dropped is for the caller to notice.
    async fn run(mut self, mut stream: Stream) {
        let mut backoff = Backoff::of_stream(&self.client.world);
        loop {
            self.follow(&mut stream).await;
            stream = loop {
                match self.look_and_open().await {
                    Ok(stream) => break stream,
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now");
                        backoff.wait().await;
                    }
                    Err(error) => {
                        tracing::warn!(target: TARGET, error = %error.chain(), "locks can no longer be watched");
                        return;
                    }
                }
            };
        }
    }

    /// Reports what the stream shows, until it ends. It is read all the while: other streams are on its connection.
    async fn follow(&mut self, stream: &mut Stream) {
        let changes = self.changes.clone();
        let mut lapses = tokio::time::interval(LAPSES_EVERY);
        lapses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.report();
            tokio::select! {
                biased;
                // First: there may always be another event.
                _ = lapses.tick() => self.let_lapse(),
                permit = changes.reserve(), if !self.unread.is_empty() => match (permit, self.unread.pop_front()) {
                    (Ok(permit), Some(change)) => permit.send(change),
                    _ => return,
                },
                event = stream.next() => match event {
                    Ok(Event::Is(lease)) => self.note(&lease, false),
                    Ok(Event::Was(lease)) => self.note(&lease, true),
                    Ok(Event::Nothing) => {}
                    Ok(Event::End) => return,
                    Err(error) => {
                        tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now");
                        return;
                    }
                },
            }
        }
    }

    async fn look_and_open(&mut self) -> Result<Stream, Error> {
        let version = self.look().await?;
        self.open(&version).await
    }

    async fn open(&self, version: &str) -> Result<Stream, Error> {
        self.client.watch(self.name().as_deref(), version).await
    }

    /// The one Lease that is meant.
    fn name(&self) -> Option<String> {
        match &self.scope {
            Scope::Key(key) => Some(names::lease(key)),
            Scope::Prefix(_) => None,
        }
    }

    /// Notes everything as it is now; returns as of which version.
    async fn look(&mut self) -> Result<String, Error> {
        let listed = self.client.list(self.name().as_deref()).await?;
        self.now.clear();
        for lease in &listed.leases {
            let has_lapsed = lease.is_over_at(listed.server_ms, Duration::ZERO);
            self.note(lease, false);
            if has_lapsed {
                self.lapse(lease);
            }
        }
        self.changed.clear();
        self.now.retain(|_, last| !last.seen.is_free());
        let now = self.now.iter().map(|(key, last)| (key.clone(), last.seen.clone())).collect();
        self.unread.extend(self.reported.replace(now));
        Ok(listed.version)
    }

    fn lapse(&mut self, lease: &Lease) {
        if let Some(last) = names::key_of(lease).and_then(|key| self.now.get_mut(&key)) {
            (last.seen.holds, last.lapses_at) = (Vec::new(), None);
        }
    }

    fn note(&mut self, lease: &Lease, is_gone: bool) {
        let Some(key) = names::key_of(lease).filter(|key| self.scope.contains(key.as_str())) else { return };
        let holder = lease.holder.as_ref().filter(|_| !is_gone);
        let over_at = self.client.remembered.over_at(lease) + LAPSES_EVERY;
        let lapses_at = holder.map(|_| over_at);
        // The same hold as before, which has lapsed, is over until it is renewed.
        let has_lapsed = self.client.world.now() >= over_at;
        let holds = holder.filter(|_| !has_lapsed).map(|identity| (identity.clone(), lease.record()));
        let waiters: Vec<Holder> =
            if is_gone { Vec::new() } else { lease.line.iter().map(super::line::Waiting::holder).collect() };
        self.now.insert(key.clone(), Last { seen: Seen::held(holds).with_waiters(waiters), lapses_at });
        self.changed.insert(key);
    }

    /// Has what has changed reported. With too much unread it waits, and is reported by what has come of it.
    fn report(&mut self) {
        while self.unread.len() < KEPT
            && let Some(key) = self.changed.pop_first()
        {
            let seen = self.now.get(&key).map(|last| last.seen.clone()).unwrap_or_default();
            if seen.is_free() {
                self.now.remove(&key);
            }
            self.unread.extend(self.reported.update(&key, seen));
        }
    }

    fn let_lapse(&mut self) {
        let now = self.client.world.now();
        for (key, last) in self.now.iter_mut().filter(|(_, last)| last.lapses_at.is_some_and(|at| at <= now)) {
            (last.seen.holds, last.lapses_at) = (Vec::new(), None);
            self.changed.insert(key.clone());
        }
    }
}
