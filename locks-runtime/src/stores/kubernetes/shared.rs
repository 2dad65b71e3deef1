//! What the futures of one session share.

use super::client::{Changed, Client, Over};
use super::entries::Entries;
use super::error::{SESSION_CLOSED, SESSION_LAPSED, WITHDRAWN};
use super::lease::Lease;
use super::names;
use super::patch::{Claim, Patch};
use super::time;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::holder;
use crate::world::clock::{AtomicMoment, Moment};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the futures of one session share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    pub(super) entries: Arc<Entries>,
    pub(super) ttl: Duration,
    /// What the identities of its entries begin with.
    id: String,
    /// When the last renewal was sent that was acknowledged.
    renewed_at: AtomicMoment,
    /// When the last renewal began. What holds the lock since a moment before that may not be covered by it.
    pub(super) renewal_begun: AtomicMoment,
    closed: AtomicBool,
}

impl Shared {
    /// A session that begins now.
    pub(super) fn new(client: &Arc<Client>, ttl: Duration) -> Arc<Self> {
        let (world, now) = (&client.world, client.world.now());
        let is_fine = |letter: &char| letter.is_ascii_alphanumeric() || "-._".contains(*letter);
        let host: String = holder::host().chars().filter(is_fine).take(100).collect();
        Arc::new(Self {
            id: format!("{host}_{:016x}{:016x}", world.bits(), world.bits()),
            client: Arc::clone(client),
            entries: Arc::default(),
            ttl,
            renewed_at: AtomicMoment::new(now),
            renewal_begun: AtomicMoment::new(Moment::from_nanos(0)),
            closed: AtomicBool::new(false),
        })
    }

    /// Returns `Lost` if the session was closed, or lapsed: whatever may still be in the store is not to be counted on.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::lost(SESSION_CLOSED));
        }
        if self.client.world.now().since(self.renewed_at.load()) >= self.ttl {
            return Err(Error::lost(SESSION_LAPSED));
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// A renewal that was sent at `sent` is acknowledged.
    pub(super) fn renewed(&self, sent: Moment) {
        self.renewed_at.advance(sent);
    }

    /// The name of the entry's Lease.
    pub(super) fn name(&self, entry: &Entry) -> String {
        names::lease(&entry.key)
    }

    /// What the entry is known by in the store: nobody else ever is.
    pub(super) fn identity(&self, entry: &Entry) -> String {
        format!("{}-{}", self.id, entry.number)
    }

    /// The entry as holder.
    pub(super) fn claim<'a>(&self, identity: &'a str, record: &'a str) -> Claim<'a> {
        Claim { identity, record, duration: self.ttl, now_ms: self.client.world.wall_ms() }
    }

    /// The time of the entry's next renewal.
    pub(super) fn next_renewal(&self, entry: &Arc<Entry>, lease: &Lease) -> String {
        let now_ms = self.client.world.wall_ms();
        let next = self.entries.get(entry.number, |state| state.next_renewal(lease, now_ms));
        next.unwrap_or_else(|| time::renewed(now_ms, lease.renewed.as_deref()))
    }

    /// Notes that the entry holds, by an answer to a request that was sent then. `Unavailable` if it has left meanwhile: it is withdrawn as any
    /// is that a late request has put there.
    pub(super) fn note_held(&self, entry: &Entry, lease: Arc<Lease>, sent: Moment) -> Result<(), Error> {
        let noted = self.entries.get(entry.number, |state| state.held(lease, sent));
        noted.ok_or_else(|| Error::unavailable(WITHDRAWN))
    }

    /// How long one renewal may take: a second attempt must have its chance before the deadline.
    pub(super) fn renewal_limit(&self) -> Duration {
        self.client.config.request_timeout().max(self.ttl / 6).min(self.ttl / 3)
    }

    /// Changes the Lease of an entry over the connection for requests.
    pub(super) async fn patch(&self, lease: &Lease, patch: Patch) -> Result<Changed, super::error::Failed> {
        self.client.patch(Over::Requests, &lease.name, patch, self.client.config.request_timeout()).await
    }
}

/// The record of an entry as the store keeps it.
pub(super) fn record(entry: &Entry) -> String {
    String::from_utf8(entry.holder.to_json()).unwrap_or_default()
}
