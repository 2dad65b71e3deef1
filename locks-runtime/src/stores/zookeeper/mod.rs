//! Locks in ZooKeeper.
//!
//! An entry is an ephemeral sequential child of the lock's node; the one with the lowest sequence holds the lock. This is
//! the recipe of Apache Curator's `InterProcessMutex` and `InterProcessReadWriteLock`, and of Kazoo's locks, each with its own
//! names; ours are named as [`Layout`] says, and a name says who may hold the lock beside it. Every ephemeral child that ends in
//! ten digits is in the queue here, whoever created it. An entry of several locks has a node for each, made in one transaction.
//!
//! Acquiring a free lock takes one round trip and one transaction, and releasing it takes the same. The node is created and the
//! queue listed without waiting in between; it is not listed at all when the node's number shows that nobody else was there since
//! the last hold (`turns`). What is missing of a new lock's path is made in the transaction of its first entry, and what is there
//! is remembered, or looked for, which costs no transaction (`parents`).
//!
//! | event | what happens |
//! |---|---|
//! | crash | the nodes are deleted with the session: after the TTL and a tenth of it (a second at least), rounded up to the server's tick; once more as long if the leader changes meanwhile |
//! | pause beyond that | as after a crash; on resume the engine's deadline has passed, and the next renewal fails because the session is gone |
//! | one server is down, stopped, or partitioned | the client moves its session to another server; a server that is cut off from its leader cannot answer renewals |
//! | most servers are down, or all are out of reach | no lock is granted and no session renewed; holds end at their deadline, sessions a full timeout after the ensemble is back |
//! | a server's clock jumps | none: servers measure time by their monotonic clocks, and so do we |
//! | the process ends after its body, with time of `hold_at_least` left | the node is in a session of that length which nobody renews: it goes then, or after two ticks (4 s by default) if that is later |
//! | the ensemble loses its data, or an older copy is put in its place | the sessions of before end as `Lost` once that shows; fences begin again with smaller ones, and a `warn` event says so |
//! | the process forks after its first lock | the child is refused with `Unsupported`: the client crate does not survive that |
//! | an entry's node is deleted by hand, or another client's is put in its place | the holder is notified at once by its watch; of the holds beyond about a thousand, which are polled, within a few seconds, or as many milliseconds as there are |
//! | the lock's node is deleted by hand while its queue is empty | none: it is created again, and fences go on, since they are transaction numbers of the whole ensemble |
//!
//! Weaker than in etcd: a try that meets another try may be refused although the lock is free, since both are in the
//! queue for a moment. The TTL is bounded by the servers' `maxSessionTimeout` (40 s by default, which makes 36 s here),
//! and so is `hold_at_least` above the TTL: more is `Unsupported`. The shortest session is two ticks, 4 s by default, so a
//! shorter TTL is longer than asked. Records have at most a megabyte.
//!
//! Each TTL that is used has a session with a connection of its own, and so has each watch; servers allow one host 60
//! (`maxClientCnxns`). The nodes that paths are made of are containers: the server removes empty ones, within a minute or two.
//!
//! Without a user in the URL everybody who reaches the servers may delete entries and create others before them. With one,
//! only that user may.
//!
//! Locks `a` and `a/b` are independent here. To Curator every child of `a` is in the queue of `a`, also the node of
//! `a/b`; but it sorts those last that do not begin with a character below the digits.

mod client;
mod config;
mod create;
mod deletion;
mod diagnosis;
mod done;
mod enter;
mod entries;
mod error;
mod extend;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hand_over;
#[cfg(feature = "zookeeper-tls")]
mod handshake;
mod history;
mod inspect;
mod names;
mod node_watch;
mod parents;
mod queue;
mod record;
mod removed;
mod renew;
mod session;
mod several;
mod shared;
#[cfg(test)]
mod tests;
mod turns;
mod wait;
mod watch;
mod watched;

pub use config::Config;
pub use queue::Layout;

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store, boxed};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use client::Client;
use history::History;
use session::ZooKeeperSession;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in ZooKeeper, 3.6 or newer. Cloning it makes another handle to the same store.
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    config: Arc<Config>,
    world: World,
    /// Those of the sessions that hold locks: requests that need no session of their own are made by one of them.
    clients: Arc<Mutex<Vec<Weak<Client>>>>,
    history: Arc<History>,
}

impl ZooKeeper {
    /// A store at the servers in `config`. No connection is made yet: the store need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for settings that are wrong whatever the servers are.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config: Arc::new(config), world: world.clone(), clients: Arc::default(), history: Arc::default() })
    }

    /// An open client: one of those that are there, or else a new one.
    async fn client(&self) -> Result<Arc<Client>, Error> {
        let open = self.clients.lock().iter().filter_map(Weak::upgrade).find(|client| client.is_open());
        match open {
            Some(client) => Ok(client),
            None => inspect::open(&self.config, &self.world).await.map(Arc::new),
        }
    }

    fn remember(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        clients.retain(|known| known.strong_count() > 0);
        clients.push(Arc::downgrade(client));
    }
}

impl Store for ZooKeeper {
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
        let store = self.clone();
        Box::pin(async move {
            let session =
                ZooKeeperSession::open(Arc::clone(&store.config), store.world.clone(), Arc::clone(&store.history), ttl)
                    .await?;
            store.remember(session.client());
            Ok(boxed(Arc::new(session)))
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let store = self.clone();
        Box::pin(async move { inspect::inspect(&*store.client().await?, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.config), self.world.clone(), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let store = self.clone();
        Box::pin(async move { inspect::force_release(&*store.client().await?, &key, None).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let store = self.clone();
        Box::pin(async move { inspect::force_release(&*store.client().await?, &key, Some(fence)).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let store = self.clone();
        Box::pin(async move { done::read(&*store.client().await?, &key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let store = self.clone();
        Box::pin(async move { done::forget(&*store.client().await?, &key).await })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
