//! Locks in etcd.
//!
//! An entry is a key `<namespace><key>/<lease in hex>-<number>` on the session's lease; the one that was created first
//! holds the lock. Go's `concurrency.Mutex`, `etcdctl lock` and the v3lock service do the same, so these exclude us and
//! we them. Acquiring a free lock is one transaction, and releasing it is one.
//!
//! | event | what happens |
//! |---|---|
//! | crash | the process's keys lapse with the lease: within the TTL, up to half a second that etcd takes to notice, and once more the TTL if the leader changes meanwhile |
//! | pause beyond the TTL | as after a crash; on resume the engine's deadline has passed, and the next renewal finds that the lease is gone |
//! | one member is down, stopped, or cut off from the others | each request goes to the next member after a bounded time; watches ask for a leader, and the queue is read every third of a TTL |
//! | most members are down, or partition from all | nothing is granted and nothing renewed; holds end at their deadline, leases when the cluster is back, after their full TTL |
//! | the data is lost, an older snapshot is restored, or an endpoint belongs to another cluster | sessions are lost at the first answer that shows it; nothing is granted below a revision that this process has seen |
//! | clock jump | nothing: etcd counts leases by the leader's monotonic clock, and this process counts by its own |
//! | out of space (the NOSPACE alarm) | nothing is granted; holds are renewed and released as before |
//! | the process ends after the body, before `hold_at_least` is over | a lease for the rest, which nobody renews, frees the lock: two seconds is the shortest |
//! | keys or leases are deleted by hand | the hold ends at once through its watch, at the latest at the next renewal |
//!
//! A request that was never answered may still be carried out, even long after. So entries have names that are never used
//! again, everything after the first request is conditional on the key's create revision, and a session with an unresolved
//! request, or whose keep-alive stream had to be replaced, compares its lease's keys with its entries after renewals, and
//! withdraws what nobody owns.
//!
//! Locks `a` and `a/b` are independent here. Go's clients do not make that difference: to them every key under `a/`
//! is in the queue of `a`.

mod audit;
mod batch;
mod beside;
mod channel;
#[cfg(test)]
mod channel_tests;
mod client;
mod config;
mod connection;
mod dial;
mod done;
mod driver;
mod enter;
mod entries;
mod error;
mod exchange;
mod extend;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hand_over;
mod identity;
mod inspect;
mod keep_alive;
mod lapse;
mod lease;
mod limit;
mod member;
mod multiplexer;
mod names;
mod own_lease;
mod part;
mod pings;
mod put;
mod queue;
mod relocate;
mod removed;
mod renew;
mod session;
mod several;
mod shared;
mod split;
mod survey;
#[cfg(test)]
mod tests;
mod wait;
mod watch;
mod watch_cache;
mod whole;

pub use config::Config;

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use client::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in etcd, 3.4 or newer.
#[derive(Debug)]
pub struct Etcd {
    client: Arc<Client>,
}

impl Etcd {
    /// A store at the members in `config`. Nothing is connected yet: the members need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without a server.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        Ok(Self { client: Arc::new(Client::new(config, world)?) })
    }
}

impl Store for Etcd {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: true,
            force_release: true,
            notices_removal: true,
            shared: true,
            permits: true,
            multi_key: true,
            once: true,
            hand_over: true,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        Box::pin(session::open(Arc::clone(&self.client), ttl))
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::inspect(&client, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.client), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::force_release(&client, &key, None).await })
    }

    /// Makes clients of the same cluster.
    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::force_release(&client, &key, Some(fence)).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { done::read(&client, &key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { done::forget(&client, &key).await })
    }

    fn native(&self) -> Native {
        let client = Arc::clone(&self.client);
        Native(NativeKind::EtcdClient(Arc::new(move || {
            let client = Arc::clone(&client);
            Box::pin(async move { client.native().await })
        })))
    }
}
