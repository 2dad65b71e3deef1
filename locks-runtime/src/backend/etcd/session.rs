//! A session: one lease, and what this process has in the store under it.

use super::background;
use super::cluster::{Cluster, lock};
use super::lease::{self, Pinger};
use super::line::{self, Ahead};
use super::names::{self, Name};
use super::status::{Failure, Verdict};
use super::{enter, gone, keep, turn};
use crate::backend::{Entered, Entry, Patience, Pending, Session};
use crate::clock::{AtomicMoment, Clock, Moment};
use crate::error::Error;
use etcd_client::{Compare, CompareOp, Txn, TxnResponse};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    pinger: Mutex<Option<Pinger>>,
    /// When the last successful renewal was sent.
    pub(super) renewed: AtomicMoment,
    /// Renewals since a request was withdrawn that may still be on its way, plus one; 0 if there never was one.
    doubts: AtomicU64,
    tidying: AtomicBool,
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
        let sent = Clock::Boot.now();
        let ttl = lease::grant(&cluster, lease, ttl).await?;
        Ok(Self(Arc::new(Shared {
            cluster,
            lease,
            ttl,
            slots: Mutex::default(),
            pinger: Mutex::default(),
            renewed: AtomicMoment::new(sent),
            doubts: AtomicU64::new(0),
            tidying: AtomicBool::new(false),
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

    fn renew(&self) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.renew().await })
    }

    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered> {
        let shared = self.0.clone();
        Box::pin(async move { enter::enter(&shared, &entry, patience).await })
    }

    fn turn(&self, entry: Arc<Entry>) -> Pending<u64> {
        let shared = self.0.clone();
        Box::pin(async move { turn::turn(&shared, &entry).await })
    }

    fn keep(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { keep::keep(&shared, &entry, least).await })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.leave(&entry).await })
    }

    fn gone(&self, entry: Arc<Entry>) -> Pending<Infallible> {
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

    fn as_any(&self) -> &dyn std::any::Any {
        self
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
        self.cluster
            .call(self.cluster.config.attempt(), |mut link| {
                let txn = txn.clone();
                async move { link.kv.txn(txn).await }
            })
            .await
            .map_err(|failure| failure.about(self.name(entry).start()))
    }

    async fn renew(self: &Arc<Self>) -> Result<(), Error> {
        let limit = self.cluster.config.attempt().min(self.ttl / 3);
        let sent = Clock::Boot.now();
        let taken = lock(&self.pinger).take();
        if let Some(mut pinger) = taken {
            match pinger.ping(&self.cluster, limit).await {
                Some(true) => return Ok(self.renewed(sent, pinger)),
                Some(false) => return Err(Error::lost("the lease is gone: it expired, or somebody revoked it")),
                None => {}
            }
        }
        let sent = Clock::Boot.now();
        let pinger = Pinger::open(&self.cluster, self.lease, limit).await?;
        self.renewed(sent, pinger);
        Ok(())
    }

    fn renewed(self: &Arc<Self>, sent: Moment, pinger: Pinger) {
        *lock(&self.pinger) = Some(pinger);
        self.renewed.advance(sent);
        let doubts = self.doubts.load(Ordering::Acquire);
        if doubts > 0 {
            self.doubts.store(doubts + 1, Ordering::Release);
        }
        // A stopped member may come to life, and to our request, much later: look on, but more and more seldom.
        let audit = doubts > 0 && (doubts <= 10 || doubts % 10 == 0);
        let due = keep::due(self, sent);
        if (audit || !due.is_empty()) && !self.tidying.swap(true, Ordering::AcqRel) {
            let shared = self.clone();
            background(async move {
                for entry in due {
                    keep::renew_again(&shared, &entry).await;
                }
                if audit {
                    shared.audit().await;
                }
                shared.tidying.store(false, Ordering::Release);
            });
        }
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
            self.doubts.store(1, Ordering::Release);
        }
    }

    /// Deletes keys of this session that belong to no entry: a request that was given up has come through after all.
    async fn audit(&self) {
        let Ok(keys) = lease::keys(&self.cluster, self.lease).await else { return };
        for key in keys {
            let Some(number) = names::number_of(&key, self.lease) else { continue };
            if lock(&self.slots).contains_key(&number) {
                continue;
            }
            let key = String::from_utf8_lossy(&key).into_owned();
            tracing::warn!(key, "withdrawing an entry that a request left behind after it was given up");
            let ours = Compare::lease(key.clone(), CompareOp::Equal, self.lease);
            let txn = line::delete(ours, &key);
            let limit = self.cluster.config.attempt();
            let withdrawn = self.cluster.call(limit, |mut link| {
                let txn = txn.clone();
                async move { link.kv.txn(txn).await }
            });
            if withdrawn.await.is_err() {
                self.doubts.store(1, Ordering::Release);
            }
        }
    }

    async fn close(&self) -> Result<(), Error> {
        keep::outlive_all(self).await?;
        lock(&self.pinger).take();
        match lease::revoke(&self.cluster, self.lease).await {
            Err(failure) if failure.verdict != Verdict::Forgotten => Err(failure.into()),
            _ => {
                lock(&self.slots).clear();
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("lease", &format_args!("{:x}", self.lease)).field("ttl", &self.ttl).finish()
    }
}
