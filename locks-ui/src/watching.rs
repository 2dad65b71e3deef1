//! One watch of the store for all who look at the page, however many they are.
//!
//! It begins with the first request. While somebody looks, everything is listed every two seconds, or more rarely where that takes
//! long; otherwise twice a minute, so that the history goes on; and after an hour in which nobody has looked it ends.

use crate::clock::{now, wall_ms};
use crate::history::History;
use crate::snapshot::{Seen, Snapshot, StoreState};
use locks_runtime::store::{Change, Line};
use locks_runtime::{Error, ErrorKind, Key, Locks, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// How often everything is listed while somebody looks, and while nobody does.
const LOOKED_AT: Duration = Duration::from_secs(2);
const ALONE: Duration = Duration::from_secs(30);
/// Listing everything takes this part of the time at the most.
const PART: u32 = 20;
/// Changes of this time are taken together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Of more changed locks than this everything is listed.
const MOST_INSPECTED: usize = 32;
/// How long to wait before a store is asked again that is away.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it goes on when nobody looks.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// The shared watch of one page.
#[derive(Debug)]
pub(crate) struct Watching {
    locks: Locks,
    prefix: String,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    history: Mutex<History>,
    /// When somebody last looked, while it goes on.
    used: Mutex<Option<Instant>>,
    stopping: watch::Sender<bool>,
}

/// Why a watch is over.
enum Over {
    Forgotten,
    Stopped,
    Away(Error),
}

impl Watching {
    pub(crate) fn new(locks: Locks, prefix: String) -> Arc<Self> {
        let (snapshot, history) = (watch::Sender::new(None), Mutex::new(History::since(wall_ms())));
        let (used, stopping) = (Mutex::default(), watch::Sender::new(false));
        Arc::new(Self { locks, prefix, snapshot, history, used, stopping })
    }

    /// Ends the watch, and all streams: the page stops, or nobody has it any more.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns when they are to end: then, or when the client stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.locks.stopping() => {}
        }
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        locked(&self.history)
    }

    /// Every snapshot from now on; a reader that is slow gets the newest one.
    pub(crate) fn snapshots(self: &Arc<Self>) -> watch::Receiver<Option<Arc<Snapshot>>> {
        let mut used = locked(&self.used);
        let runs = used.replace(now()).is_some();
        drop(used);
        if !runs {
            self.snapshot.send_replace(None);
            *self.history() = History::since(wall_ms());
            #[expect(clippy::disallowed_methods, reason = "a router runs in its user's runtime")]
            drop(tokio::spawn(Arc::clone(self).run()));
        }
        self.snapshot.subscribe()
    }

    /// How everything is. It waits for the first look.
    pub(crate) async fn snapshot(self: &Arc<Self>) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots();
        let first = snapshots.wait_for(Option::is_some).await;
        first.ok().and_then(|snapshot| snapshot.clone()).unwrap_or_default()
    }

    /// How many streams there are.
    pub(crate) fn readers(&self) -> usize {
        self.snapshot.receiver_count()
    }

    /// Whether the lock is one of those that are watched.
    pub(crate) fn shows(&self, key: &Key) -> bool {
        key.as_str().starts_with(&self.prefix)
    }

    /// Looks at one lock now.
    pub(crate) async fn look_at(&self, key: &Key) -> Result<Option<Arc<Seen>>, Error> {
        let line = self.locks.inspect(key.as_str()).await?;
        self.history().seen(key, line.as_ref(), wall_ms());
        self.publish(|snapshot| put(snapshot, key, line));
        Ok(self.snapshot.borrow().as_ref().and_then(|snapshot| snapshot.lines.get(key).cloned()))
    }

    async fn run(self: Arc<Self>) {
        loop {
            let over = tokio::select! {
                biased;
                () = self.stopped() => Over::Stopped,
                // A store is asked for a client that is closed, too.
                over = self.watch(), if self.locks.status().is_open => over,
            };
            match over {
                Over::Forgotten => return,
                Over::Stopped => {
                    let error =
                        Error::new(ErrorKind::Closed, "the client of this page is closed, or the service stops");
                    self.publish(|snapshot| away(&mut snapshot.store, &error));
                    *locked(&self.used) = None;
                    return;
                }
                Over::Away(error) => {
                    self.publish(|snapshot| away(&mut snapshot.store, &error));
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Watches until the store is away, or nobody looks any more.
    async fn watch(&self) -> Over {
        match self.watched().await {
            Ok(()) => Over::Forgotten,
            Err(error) => Over::Away(error),
        }
    }

    async fn watched(&self) -> Result<(), Error> {
        // Watched before it is listed, so that no change falls in between.
        let mut changes = self.locks.watch(&*self.prefix).await?;
        let mut listed = now();
        let mut cost = self.list().await?;
        while !self.is_forgotten() {
            let pause = if self.snapshot.receiver_count() > 0 { LOOKED_AT } else { ALONE };
            let next = listed + pause.max(cost * PART);
            if now() >= next {
                (listed, cost) = (now(), self.list().await?);
                continue;
            }
            // Somebody may begin to look meanwhile.
            match timeout_at(next.min(now() + LOOKED_AT), changes.next()).await {
                Ok(Some(change)) => {
                    if self.changed(change, &mut changes).await? {
                        (listed, cost) = (now(), self.list().await?);
                    }
                }
                Ok(None) => return Err(not_watched()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn is_forgotten(&self) -> bool {
        let mut used = locked(&self.used);
        if self.snapshot.receiver_count() > 0 {
            *used = Some(now());
        }
        let is_forgotten = used.is_some_and(|used| now() >= used + FORGOTTEN);
        if is_forgotten {
            // Whoever looks from now on begins anew.
            *used = None;
        }
        is_forgotten
    }

    /// Takes in what has changed, with what changes at the same time. Returns whether everything has to be listed.
    async fn changed(&self, first: Change, changes: &mut Watch) -> Result<bool, Error> {
        let deadline = now() + TOGETHER;
        let (mut change, mut keys) = (Some(first), BTreeSet::new());
        while let Some(one) = change.take() {
            self.history().changed(&one, wall_ms());
            if keys.len() <= MOST_INSPECTED {
                keys.insert(one.key().clone());
            }
            // An end of the watch is seen again by whoever asks for the next change.
            change = timeout_at(deadline, changes.next()).await.unwrap_or_default();
        }
        if keys.len() > MOST_INSPECTED {
            return Ok(true);
        }
        let mut lines = Vec::new();
        for key in keys {
            let line = self.locks.inspect(key.as_str()).await?;
            lines.push((key, line));
        }
        let now_ms = wall_ms();
        lines.iter().for_each(|(key, line)| self.history().seen(key, line.as_ref(), now_ms));
        self.publish(|snapshot| lines.into_iter().for_each(|(key, line)| put(snapshot, &key, line)));
        Ok(false)
    }

    /// Lists everything, and returns how long that took.
    async fn list(&self) -> Result<Duration, Error> {
        let began = now();
        let lines = self.locks.list(&*self.prefix).await?;
        let cost = began.elapsed();
        let round_trip = self.locks.ping().await?;
        self.history().seen_all(&lines.iter().collect::<Vec<_>>(), wall_ms());
        self.publish(|snapshot| {
            let before = std::mem::take(&mut snapshot.lines);
            let seen = |line: Line| {
                (line.key.clone(), Arc::new(Seen::after(line.clone(), before.get(&line.key).map(|seen| &**seen))))
            };
            snapshot.lines = lines.into_iter().map(seen).collect::<BTreeMap<_, _>>();
            snapshot.seen_ms = wall_ms();
            let since_ms = snapshot.store.since_ms.filter(|_| snapshot.store.away.is_none());
            let since_ms = Some(since_ms.unwrap_or_else(wall_ms));
            snapshot.store = StoreState { since_ms, round_trip: Some(round_trip), away: None };
        });
        Ok(cost)
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(|snapshot| {
            let mut next = snapshot.as_deref().cloned().unwrap_or_default();
            change(&mut next);
            *snapshot = Some(Arc::new(next));
        });
    }
}

fn put(snapshot: &mut Snapshot, key: &Key, line: Option<Line>) {
    match line {
        Some(line) => {
            let seen = Seen::after(line, snapshot.lines.get(key).map(|seen| &**seen));
            snapshot.lines.insert(key.clone(), Arc::new(seen));
        }
        None => drop(snapshot.lines.remove(key)),
    }
    snapshot.seen_ms = wall_ms();
}

fn away(store: &mut StoreState, error: &Error) {
    let since = store.away.take().map_or_else(wall_ms, |(since, _)| since);
    store.away = Some((since, error.to_string()));
    store.round_trip = None;
}

fn not_watched() -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be watched for the moment")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
