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
use crate::error::{Error, ErrorKind};
use crate::holder::Holder;
use crate::key::Key;
use once_cell::sync::Lazy;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

#[cfg(any(test, feature = "testing"))]
mod faults;
#[cfg(any(test, feature = "testing"))]
pub use faults::Faults;

/// A store in this process's memory.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
    /// Rung at every change that may let a waiter move.
    changed: Notify,
    #[cfg(any(test, feature = "testing"))]
    faults: Faults,
}

#[derive(Debug, Default)]
struct State {
    counter: u64,
    sessions: HashMap<u64, Moment>,
    lines: BTreeMap<Key, VecDeque<Standing>>,
    watchers: Vec<(Scope, mpsc::Sender<Change>)>,
}

#[derive(Debug)]
struct Standing {
    session: u64,
    number: u64,
    holder: Holder,
    /// The fencing number, once it holds.
    held: Option<u64>,
    kept_until: Option<Moment>,
    /// Left, and there only because it is kept.
    left: bool,
}

impl Memory {
    /// An empty store of its own.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
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

    /// Forgets every session, as a server does whose clients were away for too long.
    #[cfg(any(test, feature = "testing"))]
    pub fn expire_sessions(&self) {
        let mut state = self.lock();
        state.sessions.clear();
        self.settle(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the state, with what lapsed meanwhile gone before and the next in line holding after.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        self.settle(&mut state);
        let result = work(&mut state);
        self.settle(&mut state);
        result
    }

    /// Lets what is over lapse, and who is first hold.
    fn settle(&self, state: &mut State) {
        if state.settle(self.clock.now()) {
            self.changed.notify_waiters();
        }
    }

    /// A request to the store, as a future that a test's faults may disturb.
    fn request<T, F>(self: &Arc<Self>, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut State) -> Result<T, Error> + Send + 'static,
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

    /// Asks `ready` again at every change, and when the next thing lapses.
    async fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (value, next) = self.with(|state| (ready(state), state.next_lapse()));
            if let Some(value) = value {
                return value;
            }
            let pause = next.map_or(Duration::from_secs(3600), |next| next.since(self.clock.now()));
            // A millisecond more, so that the timer's rounding does not wake it too early again and again.
            let _ = tokio::time::timeout(pause + Duration::from_millis(1), changed).await;
        }
    }
}

impl State {
    /// Removes what lapsed and lets the heads of the lines hold; whether anything changed.
    fn settle(&mut self, now: Moment) -> bool {
        let Self { counter, sessions, lines, watchers } = self;
        sessions.retain(|_, lapses| *lapses > now);
        let mut changes = Vec::new();
        lines.retain(|key, line| {
            line.retain(|standing| {
                let kept = standing.kept_until.is_some_and(|until| until > now);
                let stays = kept || (!standing.left && sessions.contains_key(&standing.session));
                if !stays && standing.held.is_some() {
                    changes.push(Change::Released(key.clone()));
                }
                stays
            });
            if let Some(head) = line.front_mut().filter(|head| head.held.is_none()) {
                *counter += 1;
                head.held = Some(*counter);
                changes.push(Change::Acquired(key.clone(), head.holder.clone()));
            }
            !line.is_empty()
        });
        let changed = !changes.is_empty();
        for change in changes {
            let (Change::Acquired(key, _) | Change::Released(key)) = &change;
            // A watcher that does not keep up is dropped rather than waited for.
            watchers
                .retain(|(scope, watcher)| !scope.contains(key.as_str()) || watcher.try_send(change.clone()).is_ok());
        }
        changed
    }

    fn next_lapse(&self) -> Option<Moment> {
        let kept = self.lines.values().flatten().filter_map(|standing| standing.kept_until);
        self.sessions.values().copied().chain(kept).min()
    }

    fn alive(&self, session: u64) -> Result<(), Error> {
        match self.sessions.contains_key(&session) {
            true => Ok(()),
            false => Err(Error::lost("the session lapsed: it was not renewed within its TTL")),
        }
    }

    fn find(&mut self, key: &Key, number: u64) -> Option<&mut Standing> {
        self.lines.get_mut(key)?.iter_mut().find(|standing| standing.number == number && !standing.left)
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
        self.request(move |state| {
            state.counter += 1;
            let id = state.counter;
            state.sessions.insert(id, store.clock.now() + ttl);
            Ok(Arc::new(MemorySession { store, id, ttl }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        self.request(move |state| {
            let inside = state.lines.iter().filter(|(key, _)| scope.contains(key.as_str()));
            let lines = inside.map(|(key, line)| {
                let of = |held: bool| {
                    let standings = line.iter().filter(move |standing| standing.held.is_some() == held);
                    standings.map(|standing| standing.holder.clone()).collect()
                };
                Line::new(key.clone(), of(true), of(false))
            });
            Ok(lines.collect())
        })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        self.request(move |state| {
            let (sender, receiver) = mpsc::channel(1024);
            state.watchers.retain(|(_, watcher)| !watcher.is_closed());
            state.watchers.push((scope, sender));
            Ok(receiver)
        })
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        self.request(move |state| {
            let Some(line) = state.lines.get_mut(&key) else { return Ok(0) };
            let held = line.iter_mut().filter(|standing| standing.held.is_some());
            Ok(held.map(|standing| (standing.left, standing.kept_until) = (true, None)).count())
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

impl MemorySession {
    fn until<T: Send + 'static>(
        &self,
        ready: impl FnMut(&mut State) -> Option<Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let store = Arc::clone(&self.store);
        async move { store.until(ready).await }
    }
}

impl Session for MemorySession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn renew(&self) -> Pending<()> {
        let (id, ttl, clock) = (self.id, self.ttl, self.store.clock);
        self.store.request(move |state| {
            state.alive(id)?;
            state.sessions.insert(id, clock.now() + ttl);
            Ok(())
        })
    }

    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered> {
        let (id, store) = (self.id, Arc::clone(&self.store));
        self.store.request(move |state| {
            state.alive(id)?;
            if state.find(&entry.key, entry.number).is_none() {
                let line = state.lines.entry(entry.key.clone()).or_default();
                if let (Patience::Try, Some(head)) = (patience, line.front()) {
                    return Ok(Entered::Busy(head.holder.clone()));
                }
                line.push_back(Standing {
                    session: id,
                    number: entry.number,
                    holder: entry.holder.clone(),
                    held: None,
                    kept_until: None,
                    left: false,
                });
                store.settle(state);
            }
            let held = state.find(&entry.key, entry.number).and_then(|standing| standing.held);
            Ok(held.map_or(Entered::Queued, Entered::Held))
        })
    }

    fn turn(&self, entry: Arc<Entry>) -> Pending<u64> {
        Box::pin(self.until(move |state| match state.find(&entry.key, entry.number) {
            Some(standing) => standing.held.map(Ok),
            None => Some(Err(Error::lost("the entry was removed from the line"))),
        }))
    }

    fn keep(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let clock = self.store.clock;
        self.store.request(move |state| match state.find(&entry.key, entry.number) {
            Some(standing) => {
                standing.kept_until = Some(clock.now() + least);
                Ok(())
            }
            None => Err(Error::lost("the entry was removed from the line")),
        })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.store.request(move |state| {
            if let Some(standing) = state.find(&entry.key, entry.number) {
                standing.left = true;
            }
            Ok(())
        })
    }

    fn gone(&self, entry: Arc<Entry>) -> Pending<std::convert::Infallible> {
        Box::pin(self.until(move |state| match state.find(&entry.key, entry.number) {
            Some(_) => None,
            None => Some(Err(Error::new(ErrorKind::Lost, "the lock was taken away in the store"))),
        }))
    }

    fn close(&self) -> Pending<()> {
        let id = self.id;
        self.store.request(move |state| {
            state.sessions.remove(&id);
            Ok(())
        })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
