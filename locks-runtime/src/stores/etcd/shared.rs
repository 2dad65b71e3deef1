//! What the futures of one session share.

use super::client::Client;
use super::entries::{EntryState, OwnLease};
use super::error::Failure;
use super::identity::Era;
use super::lease::{Granted, KeepAlive};
use super::names::QueueRange;
use super::watch_cache::WatchCache;
use crate::contract::{Entry, Ledger};
use crate::values::mutex::Mutex;
use crate::world::clock::{AtomicMoment, Moment};
use etcd_client::{Compare, CompareOp, Txn, TxnResponse};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// A session: one lease, and what this process has in the store under it.
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    /// When the session was opened: it ends with this.
    pub(super) era: Era,
    /// The first lease, of whose id the names of the entries are made.
    pub(super) name: i64,
    lease: AtomicI64,
    /// Leases that were refused, so that the session has another one.
    pub(super) refused: Mutex<Vec<OwnLease>>,
    pub(super) ttl: Duration,
    pub(super) entries: Arc<Ledger<EntryState>>,
    pub(super) keep_alive: Mutex<Option<KeepAlive>>,
    pub(super) watches: Arc<WatchCache>,
    /// When the last renewal was sent that was acknowledged.
    pub(super) renewed: AtomicMoment,
    /// The session is to be audited after the next renewal.
    pub(super) is_audit_due: AtomicBool,
    /// A task audits the session.
    pub(super) is_audited: AtomicBool,
    /// Some of its entries, or orphans, have names of other sessions.
    pub(super) has_adopted: AtomicBool,
}

impl Shared {
    pub(super) fn new(client: Arc<Client>, era: Era, lease: Granted) -> Self {
        let Granted { id, ttl, sent } = lease;
        Self {
            watches: WatchCache::new(&client.world),
            client,
            era,
            name: id,
            lease: AtomicI64::new(id),
            refused: Mutex::default(),
            ttl,
            entries: Arc::default(),
            keep_alive: Mutex::default(),
            renewed: AtomicMoment::new(sent),
            is_audit_due: AtomicBool::new(false),
            is_audited: AtomicBool::new(false),
            has_adopted: AtomicBool::new(false),
        }
    }

    pub(super) fn range(&self, entry: &Entry) -> QueueRange {
        QueueRange::new(&self.client.config.namespace, &entry.key)
    }

    /// Of one that was handed over by another session, that session's.
    pub(super) fn key(&self, entry: &Entry) -> String {
        if self.has_adopted.load(Ordering::Acquire)
            && let Some(key) = self.entries.get(entry.number, |state| state.adopted.clone()).flatten()
        {
            return key.as_ref().to_owned();
        }
        self.range(entry).entry(self.name, entry)
    }

    /// Those of all its locks, in order.
    pub(super) fn ranges(&self, entry: &Entry) -> Vec<QueueRange> {
        entry.keys().map(|key| QueueRange::new(&self.client.config.namespace, key)).collect()
    }

    /// The entry's key in the queue of each of its locks.
    pub(super) fn keys(&self, entry: &Entry) -> Vec<String> {
        if entry.others.is_empty() {
            return vec![self.key(entry)];
        }
        self.ranges(entry).iter().map(|range| range.entry(self.name, entry)).collect()
    }

    /// The lease to which new entries are tied.
    pub(super) fn lease(&self) -> i64 {
        self.lease.load(Ordering::Acquire)
    }

    pub(super) fn set_lease(&self, lease: i64) {
        self.lease.store(lease, Ordering::Release);
    }

    /// Until then the session's lease lasts at the least.
    pub(super) fn renewed_until(&self) -> Moment {
        self.renewed.load() + self.ttl
    }

    /// How long one attempt to renew a lease may take.
    pub(super) fn renewal_timeout(&self) -> Duration {
        self.client.config.request_timeout().min(self.ttl / 3)
    }

    /// The revision at which the entry's key was created, if it was.
    pub(super) fn created(&self, entry: &Entry) -> Option<i64> {
        self.entries.get(entry.number, |state| state.created).flatten()
    }

    /// A condition that is true as long as the entry whose key was `created` then is in the store.
    pub(super) fn is_there(&self, entry: &Entry, created: i64) -> Compare {
        Compare::create_revision(self.key(entry), CompareOp::Equal, created)
    }

    /// One transaction about `entry`, whose repetition must do no harm.
    pub(super) async fn transaction(&self, entry: &Entry, transaction: &Txn) -> Result<TxnResponse, Failure> {
        self.client.transaction(transaction).await.map_err(|failure| failure.about(self.range(entry).start()))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("lease", &format_args!("{:x}", self.lease()))
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
