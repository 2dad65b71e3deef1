//! Locks inside one process: for tests and single-node programs.
//!
//! | event | what happens |
//! |---|---|
//! | crash | everything is gone with the process |
//! | pause beyond the TTL | sessions lapse as on a server; the hold is lost on resume |
//! | partition | none, except by the fault hooks (feature `testing`) |
//! | clock jump | none: the clock only goes forward, and runs through suspend |
//!
//! Waiters are served first in, first out; a fence is a counter of the whole store.

use super::{Backend, Capabilities, Change, Entered, Entry, Line, Patience, Pending, Scope, Session};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::holder::Holder;
use crate::key::Key;
use once_cell::sync::Lazy;
use state::{Alive, NEVER, Standing, Standings, State};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

#[cfg(any(test, feature = "testing"))]
mod faults;
mod state;
#[cfg(any(test, feature = "testing"))]
pub use faults::Faults;

/// A store in this process's memory.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
    #[cfg(any(test, feature = "testing"))]
    faults: Faults,
}

impl Memory {
    /// An empty store of its own.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(State {
                counter: 0,
                sessions: BTreeMap::new(),
                lines: HashMap::new(),
                watchers: Vec::new(),
                next_lapse: NEVER,
            }),
            #[cfg(any(test, feature = "testing"))]
            faults: Faults::default(),
        })
    }

    /// The store that this process calls `name`: one URL is one store, whoever connects.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        static STORES: Lazy<Mutex<HashMap<String, Weak<Memory>>>> = Lazy::new(Mutex::default);
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(name).and_then(Weak::upgrade) {
            return store;
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let store = Self::new(Clock::Boot);
        stores.insert(name.to_owned(), Arc::downgrade(&store));
        store
    }

    /// The hooks by which a test makes this store fail.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How many sessions there are.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.with(|state, _| state.sessions.len())
    }

    /// Forgets every session, as a server does whose clients were away for too long.
    #[cfg(any(test, feature = "testing"))]
    pub fn expire_sessions(&self) {
        let mut state = self.lock();
        state.sessions.clear();
        state.sweep(self.clock.now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the state, with what lapsed meanwhile gone before.
    fn with<T>(&self, work: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.lock();
        let now = self.clock.now();
        if now >= state.next_lapse {
            state.sweep(now);
        }
        work(&mut state, now)
    }

    /// A request to the store, as a future that a test's faults may disturb.
    fn request<T, F>(self: &Arc<Self>, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut State, Moment) -> Result<T, Error> + Send + 'static,
    {
        let store = Arc::clone(self);
        Box::pin(async move {
            #[cfg(any(test, feature = "testing"))]
            store.faults.before().await?;
            let result = store.with(work);
            #[cfg(any(test, feature = "testing"))]
            store.faults.after()?;
            result
        })
    }

    /// Asks `ready` about the line of `key` at every change to it, and whenever something lapses.
    async fn until<T>(&self, key: &Key, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.with(|state, _| state.lines.get_mut(key).map(Standings::changes)).unwrap_or_default();
            let changed = changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (value, pause) = self.with(|state, now| (ready(state), state.next_lapse.since(now)));
            if let Some(value) = value {
                return value;
            }
            // A millisecond more, so that the timer's rounding does not wake it too early again and again.
            let pause = pause.min(Duration::from_secs(3600)) + Duration::from_millis(1);
            let _ = tokio::time::timeout(pause, changed).await;
        }
    }
}

impl Backend for Arc<Memory> {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: false,
            force_release: true,
            notices_removal: true,
            shared: false,
            permits: false,
            multi_key: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = Arc::clone(self);
        self.request(move |state, now| {
            state.counter += 1;
            let (id, lapses) = (state.counter, state.lapses(now + ttl));
            state.sessions.insert(id, Alive { until: lapses, entries: HashSet::new() });
            Ok(Arc::new(MemorySession { store, id, ttl }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        self.request(move |state, _| {
            let inside = state.lines.iter().filter(|(key, _)| scope.contains(key.as_str()));
            let lines = inside.map(|(key, line)| {
                let of = |held: bool| {
                    let standings = line.line.iter().filter(move |standing| standing.held.is_some() == held);
                    standings.map(|standing| Holder::clone(&standing.holder)).collect()
                };
                Line::new(key.clone(), of(true), of(false))
            });
            let mut lines: Vec<Line> = lines.collect();
            lines.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            Ok(lines)
        })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        self.request(move |state, _| {
            let (sender, receiver) = mpsc::channel(1024);
            state.watchers.retain(|(_, watcher)| !watcher.is_closed());
            state.watchers.push((scope, sender));
            Ok(receiver)
        })
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        self.request(move |state, now| {
            let Some(line) = state.lines.get_mut(&key) else { return Ok(0) };
            let held = line.line.iter_mut().filter(|standing| standing.held.is_some());
            let count = held.map(|standing| (standing.left, standing.kept_until) = (true, None)).count();
            state.settle(&key, now);
            Ok(count)
        })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// A session of [`Memory`].
#[derive(Debug)]
struct MemorySession {
    store: Arc<Memory>,
    id: u64,
    ttl: Duration,
}

impl Session for MemorySession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn renew(&self) -> Pending<()> {
        let (id, ttl) = (self.id, self.ttl);
        self.store.request(move |state, now| {
            let until = state.lapses(now + ttl);
            state.alive(id)?.until = until;
            Ok(())
        })
    }

    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered> {
        let id = self.id;
        self.store.request(move |state, now| {
            state.alive(id)?;
            if state.find(id, &entry).is_none() {
                let line = &mut state.lines.entry(entry.key.clone()).or_default().line;
                if let (Patience::Try, Some(head)) = (patience, line.front()) {
                    return Ok(Entered::Busy(Arc::clone(&head.holder)));
                }
                line.push_back(Standing {
                    session: id,
                    number: entry.number,
                    holder: Arc::clone(&entry.holder),
                    held: None,
                    kept_until: None,
                    left: false,
                });
                state.alive(id)?.entries.insert(entry.number);
                state.settle(&entry.key, now);
            }
            let held = state.find(id, &entry).and_then(|standing| standing.held);
            Ok(held.map_or(Entered::Queued, Entered::Held))
        })
    }

    fn turn(&self, entry: Arc<Entry>) -> Pending<u64> {
        let (id, store) = (self.id, Arc::clone(&self.store));
        Box::pin(async move {
            let turn = |state: &mut State| match state.find(id, &entry) {
                Some(standing) => standing.held.map(Ok),
                None => Some(Err(Error::lost(REMOVED))),
            };
            store.until(&entry.key, turn).await
        })
    }

    fn keep(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let id = self.id;
        self.store.request(move |state, now| {
            let until = state.lapses(now + least);
            match state.find(id, &entry) {
                Some(standing) => {
                    standing.kept_until = Some(until);
                    Ok(())
                }
                None => Err(Error::lost(REMOVED)),
            }
        })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let id = self.id;
        self.store.request(move |state, now| {
            if let Ok(session) = state.alive(id) {
                session.entries.remove(&entry.number);
            }
            if let Some(standing) = state.find(id, &entry) {
                standing.left = true;
                state.settle(&entry.key, now);
            }
            Ok(())
        })
    }

    fn gone(&self, entry: Arc<Entry>) -> Pending<std::convert::Infallible> {
        let (id, store) = (self.id, Arc::clone(&self.store));
        Box::pin(async move {
            let gone = |state: &mut State| match (state.find(id, &entry).is_some(), state.alive(id)) {
                (true, _) => None,
                (false, Ok(session)) if !session.entries.contains(&entry.number) => None,
                (false, _) => Some(Err(Error::lost("the lock was taken away in the store"))),
            };
            store.until(&entry.key, gone).await
        })
    }

    fn close(&self) -> Pending<()> {
        let id = self.id;
        self.store.request(move |state, now| {
            state.sessions.remove(&id);
            state.sweep(now);
            Ok(())
        })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

const REMOVED: &str = "the entry was removed from the line";
