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

mod done;
#[cfg(any(test, feature = "testing"))]
mod faults;
mod hand_over;
mod inspect;
mod place;
mod session;
mod shared;
mod state;
mod wall_clock;

#[cfg(any(test, feature = "testing"))]
pub use faults::Faults;

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store, boxed};
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::process::PerProcess;
use session::MemorySession;
use shared::Shared;
use state::State;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A session with a shorter TTL could be over before its first lock is held: the background thread has other work, too.
const SHORTEST: Duration = Duration::from_millis(20);

/// A store in this process's memory. Cloning it makes another handle to the same store.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

impl Memory {
    /// An empty store of its own.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self(Arc::new(Shared::new(world)))
    }

    /// The store that this process calls `name`: one URL is one store, whoever connects. A process that was forked has others.
    #[must_use]
    pub fn named(name: &str, world: &World) -> Self {
        static STORES: PerProcess<Mutex<HashMap<String, Weak<Shared>>>> = PerProcess::new();
        let stores = STORES.get_or_try_init(|| Ok::<_, Infallible>(Mutex::default()));
        let mut stores = stores.unwrap_or_else(|never| match never {}).lock();
        if let Some(shared) = stores.get(name).and_then(Weak::upgrade) {
            return Self(shared);
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let store = Self::new(world);
        stores.insert(name.to_owned(), Arc::downgrade(&store.0));
        store
    }

    /// The hooks by which a test makes this store fail.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// How many sessions there are.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.with(|state, _| state.sessions.len())
    }

    /// Forgets every session, as a server does whose clients were away for too long.
    #[cfg(any(test, feature = "testing"))]
    pub fn expire_sessions(&self) {
        self.0.with(|state, now| {
            state.sessions.clear();
            state.sweep_all(now);
        });
    }
}

impl Store for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            force_release: true,
            notices_removal: true,
            shared: true,
            permits: true,
            multi_key: true,
            once: true,
            hand_over: true,
            outlives_process: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let (shared, ttl) = (Arc::clone(&self.0), ttl.max(SHORTEST));
        Box::pin(async move {
            let id = shared.request(|state, now| Ok(state.open(now + ttl))).await?;
            Ok(boxed(Arc::new(MemorySession::new(shared, id, ttl))))
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let look = |state: &mut State, now| Ok(inspect::lines(state, &scope, now, shared.wall_ms()));
            shared.request(look).await
        })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.request(|state, _| Ok(state.watch(scope))).await })
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.request(|state, now| Ok(state.force_release(&key, None, now))).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.request(|state, now| Ok(state.force_release(&key, Some(fence), now))).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { done::read(&shared, &key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { done::forget(&shared, &key).await })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
