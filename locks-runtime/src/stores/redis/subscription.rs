//! The one subscription of a client: it is notified which of its entries got their lock, however many wait.
//!
//! Whoever may publish may say so: a notification makes the client ask the server, and decides nothing.
//!
//! It has a [connection](super::subscribed) of its own to each shard. It begins with the first entry that has to wait or be
//! watched, and then lasts as long as the client. What is published while one of them is down is lost; so each session polls for
//! all its entries after each new beginning.

use super::client::Client;
use super::entries::Entries;
use super::names;
use super::notification::{self, Notification};
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, watch};

/// The subscription, and to whom it delivers.
pub(super) struct Subscription {
    pub(super) client: Arc<Client>,
    is_started: AtomicBool,
    /// Whether the changes of all locks are wanted too. The task of the subscription ends when this is dropped.
    pub(super) wants_changes: watch::Sender<bool>,
    delivers: watch::Sender<Delivers>,
    /// What comes from each, for as long as that is followed.
    sources: Mutex<BTreeMap<Source, Followed>>,
    sessions: Mutex<BTreeMap<u64, Weak<Entries>>>,
    listeners: Mutex<Vec<Listener>>,
}

/// How much of what is published comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delivers {
    Nothing,
    OwnEntries,
    AllChanges,
}

/// A server from which notifications come. Where any of this changes it is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) endpoint: String,
    /// In a cluster the slot of its channels.
    pub(super) marker: Option<u16>,
    /// What is published to the whole cluster comes from this one.
    pub(super) is_first: bool,
}

/// What comes from one server.
struct Followed {
    delivers: Delivers,
    /// Its task ends when this is dropped.
    _goes_on: watch::Sender<()>,
}

/// A receiver of the names of locks that changed. One that does not read them fast enough misses some, which `missed` shows.
struct Listener {
    events: mpsc::Sender<Arc<str>>,
    missed: Arc<AtomicBool>,
}

impl Subscription {
    pub(super) fn new(client: &Arc<Client>) -> Self {
        Self {
            client: Arc::clone(client),
            is_started: AtomicBool::new(false),
            wants_changes: watch::Sender::new(false),
            delivers: watch::Sender::new(Delivers::Nothing),
            sources: Mutex::default(),
            sessions: Mutex::default(),
            listeners: Mutex::default(),
        }
    }

    /// From now on notifications about the session's entries are noted there.
    pub(super) fn register(&self, session: u64, entries: &Arc<Entries>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, entries| entries.strong_count() > 0);
        sessions.insert(session, Arc::downgrade(entries));
    }

    /// Whether it has begun already; from now on it has.
    pub(super) fn begin(&self) -> bool {
        self.is_started.swap(true, Ordering::AcqRel)
    }

    /// Whether notifications come through.
    pub(super) fn is_live(&self) -> bool {
        *self.delivers.borrow() >= Delivers::OwnEntries
    }

    /// The names of the locks that change from now on, once they come through; `None` if they do not. The flag is set when
    /// some were missed.
    pub(super) async fn events(self: &Arc<Self>, unread: usize) -> Option<(mpsc::Receiver<Arc<str>>, Arc<AtomicBool>)> {
        let (events, receiver) = mpsc::channel(unread);
        let missed = Arc::new(AtomicBool::new(false));
        self.listeners.lock().push(Listener { events, missed: Arc::clone(&missed) });
        self.wants_changes.send_replace(true);
        let mut delivers = self.delivers.subscribe();
        let begun = delivers.wait_for(|delivers| *delivers == Delivers::AllChanges);
        tokio::time::timeout(self.client.config.request_timeout() * 2, begun).await.ok()?.ok()?;
        Some((receiver, missed))
    }

    /// What was published, on the thread that reads the connection: nothing here waits.
    pub(super) fn deliver(&self, is_change: bool, message: &[u8]) {
        if is_change {
            self.deliver_change(message);
            return;
        }
        let Some((token, notification)) = Notification::read(message) else { return };
        let Some((session, number)) = names::session_and_number(token) else { return };
        let entries = self.sessions.lock().get(&session).and_then(Weak::upgrade);
        if let Some(entries) = entries {
            entries.notified(number, notification, self.client.world.now());
        }
    }

    fn deliver_change(&self, message: &[u8]) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| !listener.events.is_closed());
        if listeners.is_empty() {
            return;
        }
        if let Some(lock) = notification::changed_lock(message).map(Arc::from) {
            listeners.iter().for_each(|listener| listener.deliver(&lock));
        }
    }

    /// The connection was made anew: whatever was published before was missed.
    pub(super) fn notifications_missed(&self) {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        sessions.iter().for_each(|entries| entries.notifications_missed());
    }

    /// What is wanted from this source comes from now on, or only so much of it.
    pub(super) fn delivers(&self, source: &Source, delivers: Delivers) {
        if let Some(followed) = self.sources.lock().get_mut(source) {
            followed.delivers = delivers;
        }
        self.note_delivers();
    }

    /// As much as comes from each server.
    fn note_delivers(&self) {
        let least = self.sources.lock().values().map(|followed| followed.delivers).min().unwrap_or(Delivers::Nothing);
        if least == Delivers::Nothing {
            for listener in self.listeners.lock().iter() {
                listener.missed.store(true, Ordering::Release);
            }
        }
        self.delivers.send_if_modified(|delivers| std::mem::replace(delivers, least) != least);
    }

    /// Follows these and no others; returns those that are new, each with what ends when it is not followed any more.
    pub(super) fn follow(&self, wanted: Vec<Source>) -> Vec<(Source, watch::Receiver<()>)> {
        let mut sources = self.sources.lock();
        sources.retain(|source, _| wanted.contains(source));
        let mut new = Vec::new();
        for source in wanted {
            if !sources.contains_key(&source) {
                let (goes_on, ends) = watch::channel(());
                sources.insert(source.clone(), Followed { delivers: Delivers::Nothing, _goes_on: goes_on });
                new.push((source, ends));
            }
        }
        drop(sources);
        self.note_delivers();
        new
    }
}

impl Listener {
    fn deliver(&self, lock: &Arc<str>) {
        if self.events.try_send(Arc::clone(lock)).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("delivers", &*self.delivers.borrow()).finish_non_exhaustive()
    }
}
