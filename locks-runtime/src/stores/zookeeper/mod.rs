//! Locks in ZooKeeper.
//!
//! An entry is an ephemeral sequential child of the lock's node; the lowest sequence holds the lock. That is what
//! Apache Curator's `InterProcessMutex` and Kazoo's `Lock` do, each under its own names; ours are named as [`Layout`]
//! says. Every ephemeral child that ends in ten digits is in line here, whoever put it there. Taking a free lock is one
//! round trip (the node is created and the line listed without waiting in between), and giving it back is one.
//!
//! | what happens | what follows |
//! |---|---|
//! | this process crashes | its nodes go with the session: after the TTL and a tenth of it (a second at least), rounded up to the server's tick; and once more the same if the leader changes meanwhile |
//! | this process is paused for longer than that | as after a crash; on resume the engine's deadline is over at once, and the next renewal is told that the session is gone |
//! | one server is down, stopped, or cut off | the client goes to another one with its session; a server that is cut off from its leader cannot answer renewals |
//! | most servers are down, or we are cut off from all | nothing is granted and nothing renewed; holds end at their deadline, sessions when the ensemble is back, after their full timeout |
//! | a server's clock jumps | nothing: servers count by their monotonic clocks, and we by ours |
//! | nodes are deleted by hand | the hold is told so at once by its watch |
//! | the lock's node is deleted by hand while nobody stands in line | nothing: it is made again, and fences go on, since they are transaction numbers of the whole ensemble |
//!
//! What is weaker than in etcd: a try that meets another try may be refused although nobody holds the lock, since both
//! stand in line for a moment. The TTL is bounded by the servers' `maxSessionTimeout` (40 s by default, which makes 36 s
//! here), and so is `hold_at_least`: more is `Unsupported`. Records are at most a megabyte.
//!
//! Locks `a` and `a/b` are independent here. To Curator every child of `a` is in the line of `a`, also the node of
//! `a/b`; but it sorts those behind that do not begin with something less than a digit.

mod config;
mod enter;
mod gone;
mod inspect;
mod keep;
mod link;
mod names;
mod renew;
mod session;
#[cfg(test)]
mod tests;
mod turn;
mod watch;
mod watched;

pub use config::{Config, Layout, Tls};

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store};
use crate::values::error::Error;
use crate::values::key::Key;
use session::{Shared, ZooKeeperSession};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in ZooKeeper, 3.6 or newer.
#[derive(Debug)]
pub struct ZooKeeper {
    config: Arc<Config>,
    /// The sessions that locks are held in: questions go by way of one of them.
    sessions: Mutex<Vec<Weak<Shared>>>,
}

impl ZooKeeper {
    /// A store at the servers in `config`. Nothing is opened and nobody asked: the store need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without asking.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        config.check()?;
        Ok(Arc::new(Self { config: Arc::new(config), sessions: Mutex::default() }))
    }

    /// A session that is open anyway, for a question.
    fn session(&self) -> Option<Arc<Shared>> {
        let sessions = link::lock(&self.sessions);
        sessions.iter().filter_map(Weak::upgrade).find(|shared| shared.link.is_open())
    }

    fn remember(&self, session: &Arc<Shared>) {
        let mut sessions = link::lock(&self.sessions);
        sessions.retain(|known| known.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }
}

impl Store for Arc<ZooKeeper> {
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
        let store = self.clone();
        Box::pin(async move {
            let session = ZooKeeperSession::open(store.config.clone(), ttl).await?;
            store.remember(&session.0);
            Ok(Arc::new(session) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let store = self.clone();
        Box::pin(async move {
            match store.session() {
                Some(shared) => inspect::inspect(&shared.link, &scope).await,
                None => inspect::inspect(&inspect::open(&store.config).await?, &scope).await,
            }
        })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(self.config.clone(), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let store = self.clone();
        Box::pin(async move {
            match store.session() {
                Some(shared) => inspect::force_release(&shared.link, &key).await,
                None => inspect::force_release(&inspect::open(&store.config).await?, &key).await,
            }
        })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
