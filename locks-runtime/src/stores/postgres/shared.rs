//! What the futures of one session share.

use super::client::Client;
use super::entries::Entries;
use super::error::{SESSION_CLOSED, SESSION_LAPSED};
use super::row::number;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Moment};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_postgres::types::Type;

/// What the futures of one session share.
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    /// Random, and never used again.
    pub(super) id: String,
    pub(super) ttl: Duration,
    pub(super) entries: Arc<Entries>,
    /// Until then at least the database keeps the entries. Afterwards the session is over, whatever it still shows.
    deadline: AtomicMoment,
    closed: AtomicBool,
}

impl Shared {
    /// A session that begins now.
    pub(super) fn new(client: Arc<Client>, ttl: Duration) -> Self {
        let world = &client.world;
        Self {
            id: format!("{:016x}{:016x}", world.bits(), world.bits()),
            ttl,
            entries: Arc::default(),
            deadline: AtomicMoment::new(world.now() + ttl),
            closed: AtomicBool::new(false),
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

    /// The TTL as statements take it.
    pub(super) fn ttl_micros(&self) -> f64 {
        self.ttl.as_secs_f64() * 1e6
    }

    /// The names of the entries' rows, and their numbers, as statements take them.
    pub(super) fn names_and_numbers(&self, entries: &[Arc<Entry>]) -> Result<(Vec<String>, Vec<i64>), Error> {
        let names: Result<_, _> = entries.iter().map(|entry| self.client.name(&entry.key)).collect();
        Ok((names?, entries.iter().map(|entry| number(entry)).collect()))
    }

    /// Takes entries out of the store. The locks that they hold go to the next in the queue.
    pub(super) async fn withdraw(&self, entries: &[Arc<Entry>]) -> Result<(), Error> {
        self.leave(entries, false).await
    }

    /// As [`withdraw`](Shared::withdraw), but extended entries stay until their time is over, if `extended_stay`.
    pub(super) async fn leave(&self, entries: &[Arc<Entry>], extended_stay: bool) -> Result<(), Error> {
        let (names, numbers) = self.names_and_numbers(entries)?;
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&self.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&self.client.table.channel as _, Type::TEXT),
            (&extended_stay as _, Type::BOOL),
        ];
        self.client.ask(&self.client.work, &self.client.statements.leave, &values).await?;
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.client.notifications.unsubscribe(&self.id);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
