//! What the futures of one session share.

use super::client::Client;
use super::entries::Entries;
use super::error::{Failure, SESSION_CLOSED, SESSION_LAPSED};
use super::row::{column, number};
use super::sql::Statements;
use crate::contract::Entry;
use crate::contract::batches::Batches;
use crate::contract::database::{self, chunks};
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Moment};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_postgres::types::Type;

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
    pub(super) fn ttl_micros(&self) -> f64 {
        self.ttl.as_secs_f64() * 1e6
    }

    /// The names of the entries' rows, and their numbers, as statements take them.
    pub(super) fn names_and_numbers(&self, entries: &[Arc<Entry>]) -> Result<(Vec<String>, Vec<i64>), Error> {
        let keys = entries.iter().flat_map(|entry| entry.keys());
        let names: Result<_, _> = keys.map(|key| self.client.name(key)).collect();
        Ok((names?, entries.iter().map(|entry| number(entry)).collect()))
    }

    /// Takes entries out of the store. The locks that they hold go to the next in the queue.
    pub(super) async fn withdraw(&self, entries: &[Arc<Entry>]) -> Result<(), Error> {
        self.leave(entries, false).await
    }

    /// As [`withdraw`](Shared::withdraw), but extended entries stay until their time is over, if `extended_stay`.
    ///
    /// One whose row another transaction has locked does not keep the others, nor those of its own rows that nobody has locked: it
    /// fails when all those have left.
    pub(super) async fn leave(&self, entries: &[Arc<Entry>], extended_stay: bool) -> Result<(), Error> {
        let locked = match entries {
            [entry] if entry.others.is_empty() => vec![(Arc::clone(entry), self.client.names(entry)?)],
            _ => self.leave_unlocked(entries, extended_stay).await?,
        };
        let mut failed = None;
        for (entry, names) in &locked {
            let left = self.send_leave(|statements| &statements.leave, names, &[number(entry)], extended_stay).await;
            failed = left.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Takes entries out of the rows that no other transaction has locked. Returns those that are in others, with the names of these.
    async fn leave_unlocked(
        &self,
        entries: &[Arc<Entry>],
        extended_stay: bool,
    ) -> Result<Vec<(Arc<Entry>, Vec<String>)>, Error> {
        let mut all = Vec::new();
        for chunk in chunks(entries) {
            let (names, numbers) = self.names_and_numbers(chunk)?;
            let skipped =
                self.send_leave(|statements| &statements.leave_unlocked, &names, &numbers, extended_stay).await?;
            for entry in chunk {
                let names = self.client.names(entry)?;
                let (locked, left): (Vec<_>, Vec<_>) =
                    entry.keys().zip(names).partition(|(_, name)| skipped.contains(name));
                if !locked.is_empty() {
                    // One that is extended may be there yet.
                    left.iter().filter(|_| !extended_stay).for_each(|(key, _)| entry.note_left(key));
                    all.push((Arc::clone(entry), locked.into_iter().map(|(_, name)| name).collect()));
                }
            }
        }
        Ok(all)
    }

    /// Returns the names whose rows are locked.
    async fn send_leave(
        &self,
        choice: fn(&Statements) -> &String,
        names: &[String],
        numbers: &[i64],
        extended_stay: bool,
    ) -> Result<BTreeSet<String>, Error> {
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&self.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&extended_stay as _, Type::BOOL),
        ];
        let answer = self.client.change_and_notify(choice, &values, 3).await?;
        answer.rows.iter().filter_map(|row| column(row, "name").transpose()).collect()
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
