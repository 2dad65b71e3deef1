//! Locks in etcd.
//!
//! An entry is a key `<namespace><key>/<lease in hex>-<number>` on the session's lease; the one that was created first
//! holds the lock. That is what Go's `concurrency.Mutex`, `etcdctl lock` and the v3lock service do, so these exclude
//! us and we them. Taking a free lock is one transaction, and giving it back is one.
//!
//! | what happens | what follows |
//! |---|---|
//! | this process crashes | its keys lapse with the lease: within the TTL, up to half a second that etcd takes to notice, and once more the TTL if the leader changes meanwhile |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline is over at once, and the next renewal is told that the lease is gone |
//! | one member is down, stopped, or cut off from the others | each request goes to the next member after a bounded time; watches ask for a leader and look at the line every third of a TTL |
//! | most members are down, or we are cut off from all | nothing is granted and nothing renewed; holds end at their deadline, leases when the cluster is back, after their full TTL |
//! | a member's clock jumps | nothing: etcd counts leases by the leader's monotonic clock, and we by ours |
//! | keys or leases are deleted by hand | the hold is told so at once by its watch, at the latest by the next renewal |
//!
//! A request that was given up may still be carried out, even long after. So entries have names that are never used
//! again, everything after the first request is conditional on the key's create revision, and a session that gave
//! one up looks through its lease's keys after renewals and withdraws what belongs to nobody.
//!
//! Locks `a` and `a/b` are independent here. Go's clients do not make that difference: to them every key under `a/`
//! is in the line of `a`.

mod cluster;
mod config;
mod crowd;
mod enter;
mod gone;
mod hub;
mod inspect;
mod keep;
mod lease;
mod line;
mod names;
mod renew;
mod session;
mod spare;
mod status;
#[cfg(test)]
mod tests;
mod turn;
mod watch;

pub use config::{Config, Tls};
pub use session::EtcdSession;

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store};
use crate::values::error::Error;
use crate::values::key::Key;
use cluster::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in etcd, 3.4 or newer.
#[derive(Debug)]
pub struct Etcd {
    cluster: Arc<Cluster>,
}

impl Etcd {
    /// A store at the members in `config`. Nothing is opened and nobody asked: the store need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without asking.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { cluster: Arc::new(Cluster::new(config)?) }))
    }
}

impl Store for Arc<Etcd> {
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
        let cluster = self.cluster.clone();
        Box::pin(async move {
            let session = EtcdSession::open(cluster, ttl).await?;
            Ok(Arc::new(session) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let cluster = self.cluster.clone();
        Box::pin(async move { inspect::inspect(&cluster, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(self.cluster.clone(), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let cluster = self.cluster.clone();
        Box::pin(async move { inspect::force_release(&cluster, &key).await })
    }

    fn native(&self) -> Native {
        let cluster = self.cluster.clone();
        Native(NativeKind::EtcdClient(Arc::new(move || {
            let cluster = cluster.clone();
            Box::pin(async move { cluster.client().await })
        })))
    }
}
