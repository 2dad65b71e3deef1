//! Locks in Redis or Valkey: one server, or one primary with replicas.
//!
//! The lock is a plain string key named `<namespace><key>` that holds a token and expires, as redis-py's `Lock`, redsync
//! and ShedLock have it: they exclude us and we them, and any value that is not ours is an unknown holder. Beside it are
//! `{name}:holder` (record, fence), `{name}:queue` and `{name}:waiters` (our waiters in the order of their arrival),
//! which end with their entries, and `{name}:fence`, which is forgotten a month after the last hold. Taking a free lock
//! is one request, and giving it back is one; who gives it back hands it to the first waiter in the same step.
//!
//! | what happens | what follows |
//! |---|---|
//! | this process crashes | its locks expire within the TTL, and the first waiter takes over some milliseconds later |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline is over at once |
//! | we are cut off from the server | nothing is granted and nothing renewed; holds end at their deadline, before the keys expire |
//! | the server is restarted with its data | expiries are moments, so what was due meanwhile is over; the rest goes on |
//! | the server is restarted without its data | **every lock is forgotten**: another may hold it at once, while the former holder is told by its next renewal, a third of the TTL later at most |
//! | a replica is promoted | the same for what had not been replicated, and for what a cut-off primary still grants: **two may hold a lock**, so it is advisory unless the fence is used |
//! | the server's clock jumps forward | keys expire early: two may hold a lock for up to a TTL. Redis counts expiries by the wall clock |
//! | the server's clock jumps back | keys expire late; fences still grow, from the last one that is remembered |
//! | the server evicts keys | locks may go; set `maxmemory-policy noeviction` |
//! | a lock's key is deleted by hand | as after a restart without data; `force_release` tells the holder at once |
//!
//! # Why handing on is safe
//!
//! The engine counts a session's deadline from the sending of the last request that renewed all its entries, and an
//! entry is in the list of each request that is sent after it was first asked for. So the server's time for an entry,
//! whether it holds or waits, ends no sooner than the TTL after that sending. A waiter that is handed the lock gets the
//! key for what is left of its own time, neither more nor less: it is over for the server no sooner than for the
//! engine, and nobody who stopped renewing gets any time by it. A message that tells of the lock may come late, or
//! never: the deadline is the same.
//!
//! A request that was given up may still be carried out. Entries have tokens that are never used again, and what is
//! done to one is conditional on it; so the worst is an entry that nobody owns, which is taken out with the next
//! renewals, and lapses by itself.

mod answer;
mod config;
mod enter;
mod hub;
mod inspect;
mod names;
mod server;
mod session;
mod status;
mod store;
mod tend;
#[cfg(test)]
mod tests;
mod turn;
mod watch;

pub use config::{Config, Tls};

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store};
use crate::values::error::Error;
use crate::values::key::Key;
use session::RedisSession;
use std::sync::Arc;
use std::time::Duration;
use store::Inner;
use tokio::sync::mpsc;

/// A store of locks in Redis 6 or newer, or Valkey.
#[derive(Debug)]
pub struct Redis {
    store: Arc<Inner>,
}

impl Redis {
    /// A store at the server in `config`. Nothing is opened and nobody asked: the store need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without asking.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { store: Inner::new(config)? })
    }
}

impl Store for Redis {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: true,
            force_release: true,
            notices_removal: true,
            shared: false,
            permits: false,
            multi_key: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { Ok(Arc::new(RedisSession::open(store, ttl).await?) as Arc<dyn Session>) })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { inspect::inspect(&store, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.store), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { inspect::force_release(&store, &key).await })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
