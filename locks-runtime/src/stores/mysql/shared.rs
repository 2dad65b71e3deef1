//! What the futures of one session share.

use super::client::Client;
use super::entries::Entries;
use super::error::{Failure, SESSION_CLOSED, SESSION_LAPSED};
use super::row::Micros;
use crate::contract::batches::Batches;
use crate::contract::database;
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Moment};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One that waits for a statement that it shares.
pub(super) type Waiting = database::Waiting<Failure>;

/// A connection that has not answered for so long is broken, whatever the TTL.
const LONGEST_RENEWAL: Duration = Duration::from_secs(30);

/// What the futures of one session share.
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    /// Random, and never used again.
    pub(super) id: String,
    pub(super) ttl: Duration,
    pub(super) entries: Arc<Entries>,
    /// What shares a statement.
    pub(super) batches: Batches<Waiting>,
    /// Until then at least the database keeps the entries. Afterwards the session is over, whatever it still shows.
    deadline: AtomicMoment,
    closed: AtomicBool,
    /// How many renewals were begun.
    renewals: AtomicU64,
}

impl Shared {
    /// A session that begins now.
    pub(super) fn new(client: Arc<Client>, ttl: Duration) -> Self {
        let world = &client.world;
        Self {
            id: format!("{:016x}{:016x}", world.bits(), world.bits()),
            ttl,
            entries: Arc::default(),
            batches: Batches::default(),
            deadline: AtomicMoment::new(world.now() + ttl),
            closed: AtomicBool::new(false),
            renewals: AtomicU64::new(0),
            client,
        }
    }

    /// Fails if the session is over. It must not do anything then, for its locks may have other holders.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::lost(SESSION_CLOSED));
        }
        if self.client.world.now() >= self.deadline.load() {
            return Err(Error::lost(SESSION_LAPSED));
        }
        Ok(())
    }

    /// A renewal that was sent at `sent` is acknowledged.
    pub(super) fn renewed(&self, sent: Moment) {
        self.deadline.advance(sent + self.ttl);
    }

    /// From now on the session does nothing but close.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// How long one statement of a renewal may take: a big one needs longer than others, and a second attempt must have
    /// its chance before the deadline.
    pub(super) fn renewal_limit(&self) -> Duration {
        let limit = self.client.config().request_timeout().max(self.ttl / 6);
        limit.min(self.ttl / 3).min(LONGEST_RENEWAL)
    }

    /// The TTL as statements take it.
    pub(super) fn ttl_micros(&self) -> Micros {
        micros(self.ttl)
    }

    /// A renewal begins. Returns when.
    pub(super) fn begin_renewal(&self) -> Moment {
        self.renewals.fetch_add(1, Ordering::AcqRel);
        self.client.world.now()
    }

    /// How many renewals were begun.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.client.sessions.close(&self.id);
    }
}

/// A time as the table has it.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX / 4)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
