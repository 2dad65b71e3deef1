//! A session: one lease, and what this process has in the store under it.

use super::cluster::{Cluster, lock};
use super::lease::{self, Pinger};
use super::line::{self, Ahead};
use super::names::Name;
use super::renew::{self, Doubts};
use super::spare::Spares;
use super::status::Failure;
use super::{enter, gone, keep, turn};
use crate::contract::{Entered, Entry, Grant, Native, NativeKind, Pending, Renewal, Session, WhenBusy};
use crate::values::error::Error;
use etcd_client::{Compare, CompareOp, Txn, TxnResponse};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A session on etcd. The engine hands it out as [`Session`]; [`compare`](EtcdSession::compare) is what only etcd has.
#[derive(Debug)]
pub struct EtcdSession(pub(super) Arc<Shared>);

/// What the futures of one session share.
pub(super) struct Shared {
    pub(super) cluster: Arc<Cluster>,
    pub(super) lease: i64,
    pub(super) ttl: Duration,
    pub(super) slots: Mutex<HashMap<u64, Slot>>,
    pub(super) pinger: Mutex<Option<Pinger>>,
    pub(super) doubts: Doubts,
    pub(super) spares: Arc<Spares>,
}

/// What is known of an entry, from before it is first sent until it is definitely gone.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// The revision at which its key was created: what every later request is conditional on.
    pub(super) created: Option<i64>,
    /// Who was ahead of it when it was put in line.
    pub(super) ahead: Option<Ahead>,
    pub(super) leaving: bool,
    pub(super) kept: Option<keep::Kept>,
}

impl EtcdSession {
    pub(super) async fn open(cluster: Arc<Cluster>, ttl: Duration) -> Result<Self, Error> {
        let lease = lease::new_id();
        let ttl = lease::grant(&cluster, lease, ttl).await?;
        Ok(Self(Arc::new(Shared {
            cluster,
            lease,
            ttl,
            slots: Mutex::default(),
            pinger: Mutex::default(),
            doubts: Doubts::default(),
            spares: Arc::default(),
        })))
    }

    /// A condition for the caller's own transaction: it holds exactly as long as `entry` is in the store.
    ///
    /// `None` unless the entry was put there and has not been taken out.
    #[must_use]
    pub fn compare(&self, entry: &Entry) -> Option<Compare> {
        let created = lock(&self.0.slots).get(&entry.number)?.created?;
        Some(self.0.is_mine(entry, created))
    }
}

impl Session for EtcdSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let shared = self.0.clone();
        Box::pin(async move { renew::renew(&shared).await.map(|()| Renewal::complete()) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let shared = self.0.clone();
        Box::pin(async move { enter::enter(&shared, &entry, when_busy).await })
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        let shared = self.0.clone();
        Box::pin(async move { turn::turn(&shared, &entry).await.map(Grant::new) })
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { keep::keep(&shared, &entry, least).await })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.leave(&entry).await })
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        let shared = self.0.clone();
        Box::pin(async move {
            match gone::gone(&shared, &entry).await {
                Some(error) => Err(error),
                None => pending().await,
            }
        })
    }

    fn close(&self) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.close().await })
    }

    fn native(&self, entry: &Entry) -> Native {
        self.compare(entry).map_or_else(Native::none, |compare| Native(NativeKind::EtcdCompare(Box::new(compare))))
    }
}

impl Shared {
    pub(super) fn name(&self, entry: &Entry) -> Name {
        Name::new(&self.cluster.config.namespace, &entry.key)
    }

    pub(super) fn key(&self, entry: &Entry) -> String {
        self.name(entry).entry(self.lease, entry)
    }

    pub(super) fn is_mine(&self, entry: &Entry, created: i64) -> Compare {
        Compare::create_revision(self.key(entry), CompareOp::Equal, created)
    }

    /// What is known of `entry`, which is put there if nothing is.
    pub(super) fn slot<T>(&self, entry: &Entry, look: impl FnOnce(&mut Slot) -> T) -> T {
        look(lock(&self.slots).entry(entry.number).or_default())
    }

    pub(super) fn known<T>(&self, entry: &Entry, look: impl FnOnce(&mut Slot) -> Option<T>) -> Option<T> {
        look(lock(&self.slots).get_mut(&entry.number)?)
    }

    pub(super) async fn txn(&self, entry: &Entry, txn: &Txn) -> Result<TxnResponse, Failure> {
        self.cluster.txn(txn).await.map_err(|failure| failure.about(self.name(entry).start()))
    }

    async fn leave(&self, entry: &Entry) -> Result<(), Error> {
        let created = self.slot(entry, |slot| {
            slot.leaving = true;
            slot.created
        });
        if !keep::outlives(self, entry).await.map_err(Error::from)? {
            let mine = match created {
                Some(created) => self.is_mine(entry, created),
                None => Compare::lease(self.key(entry), CompareOp::Equal, self.lease),
            };
            self.txn(entry, &line::delete(mine, &self.key(entry))).await?;
        }
        self.forget(entry);
        Ok(())
    }

    /// Drops what is known of an entry that is not in the store, and doubts it if a request for it may still come.
    pub(super) fn forget(&self, entry: &Entry) {
        let slot = lock(&self.slots).remove(&entry.number);
        if slot.is_some_and(|slot| slot.sent != slot.answered) {
            self.doubts.arise();
        }
    }

    /// As [`forget`](Shared::forget), of an entry that was refused, if nothing of it can be in the store.
    pub(super) fn forget_if_unsent(&self, entry: &Entry) {
        let mut slots = lock(&self.slots);
        if slots.get(&entry.number).is_some_and(|slot| slot.created.is_none() && slot.sent == slot.answered) {
            slots.remove(&entry.number);
        }
    }

    async fn close(&self) -> Result<(), Error> {
        keep::outlive_all(self).await?;
        lock(&self.pinger).take();
        lease::revoke(&self.cluster, self.lease).await?;
        lock(&self.slots).clear();
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("lease", &format_args!("{:x}", self.lease)).field("ttl", &self.ttl).finish()
    }
}
