//! A session: a row with an expiry, and the entries that live as long as it does.

use crate::database::Database;
use distributed_locks::store::poll::{self, Outcome, Rhythm};
use distributed_locks::store::{AsyncSession, Entered, Entry, Grant, Ledger, Native, Renewal, WhenBusy};
use distributed_locks::{Error, ErrorKind, Holder};
use rusqlite::{OptionalExtension, Transaction, params};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// How often a waiter looks whether its turn has come.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(10), longest: Duration::from_millis(50) };

/// How often a holder checks that its row is still there.
const CHECK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct SqliteSession {
    database: Database,
    id: String,
    ttl: Duration,
    /// The entries that have entered and not left. A request is never unresolved here: each runs to its end in this process.
    entries: Ledger<()>,
}

/// An entry and its queue, as one request found them.
struct Found {
    /// The entry's own position, if it is there.
    own: Option<i64>,
    /// The first position of its key and who has it.
    first: Option<(i64, Vec<u8>)>,
}

impl SqliteSession {
    pub(crate) async fn open(database: Database, ttl: Duration) -> Result<Self, Error> {
        let session = Self { id: format!("{:016x}", database.world().bits()), database, ttl, entries: Ledger::default() };
        let (id, expires) = (session.id.clone(), session.expiry());
        let insert = "INSERT INTO sessions (id, expires) VALUES (?1, ?2)";
        session.database.request(move |request| request.execute(insert, params![id, expires])).await?;
        Ok(session)
    }

    /// When the session expires if it is renewed now.
    fn expiry(&self) -> i64 {
        self.database.now().saturating_add(millis(self.ttl))
    }

    async fn find(&self, entry: &Arc<Entry>) -> Result<Found, Error> {
        let (id, entry) = (self.id.clone(), Arc::clone(entry));
        self.database.request(move |request| find(request, &id, &entry)).await
    }

    /// Changes the entry's row by `statement`; returns whether it is there.
    async fn change(&self, entry: &Arc<Entry>, statement: &'static str, value: i64) -> Result<bool, Error> {
        let (id, number) = (self.id.clone(), number(entry));
        let changed = self.database.request(move |request| request.execute(statement, params![id, number, value]));
        Ok(changed.await? > 0)
    }
}

impl AsyncSession for SqliteSession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        let (id, expires) = (self.id.clone(), self.expiry());
        let update = "UPDATE sessions SET expires = max(expires, ?2) WHERE id = ?1";
        match self.database.request(move |request| request.execute(update, params![id, expires])).await? {
            0 => Err(Error::new(ErrorKind::Lost, "the session expired: it was not renewed within its TTL")),
            _ => Ok(Renewal::complete()),
        }
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        self.entries.update(&entry, |()| ());
        let (id, entry) = (self.id.clone(), Arc::clone(&entry));
        let enter = move |request: &Transaction<'_>| {
            let is_open = "SELECT 1 FROM sessions WHERE id = ?1";
            if request.query_row(is_open, params![id], |_| Ok(())).optional()?.is_none() {
                return Ok(None);
            }
            let found = find(request, &id, &entry)?;
            if found.own.is_some() || (when_busy == WhenBusy::Refuse && found.first.is_some()) {
                return Ok(Some(found));
            }
            request.execute(
                "INSERT INTO entries (key, session, number, holder) VALUES (?1, ?2, ?3, ?4)",
                params![entry.key.as_str(), id, number(&entry), entry.holder.to_json()],
            )?;
            find(request, &id, &entry).map(Some)
        };
        let lost = || Error::new(ErrorKind::Lost, "the session expired before the entry was put into it");
        let found = self.database.request(enter).await?.ok_or_else(lost)?;
        Ok(match (found.own, found.first) {
            (Some(own), Some((first, _))) if own == first => Entered::held(fence(own)),
            (None, Some((_, holder))) => Entered::Busy(Holder::from_json(&holder).into()),
            _ => Entered::Queued,
        })
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let attempt = || async {
            match self.find(&entry).await {
                Ok(Found { own: None, .. }) => Err(removed()),
                Ok(Found { own: Some(own), first: Some((first, _)) }) if own == first => {
                    Ok(Outcome::Acquired(Grant::new(fence(own))))
                }
                // The engine's deadline ends the wait for a database that stays locked.
                Err(error) if error.kind() != ErrorKind::Unavailable => Err(error),
                _ => Ok(Outcome::Busy),
            }
        };
        poll::until_acquired(self.database.world(), RHYTHM, attempt).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        let until = self.database.now().saturating_add(millis(least));
        let extend = "UPDATE entries SET extended_until = ?3 WHERE session = ?1 AND number = ?2 AND NOT has_left";
        if self.change(&entry, extend, until).await? { Ok(()) } else { Err(removed()) }
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        self.entries.left(entry.number);
        // The row goes with a later request, once its time is over.
        let until = self.database.now().saturating_add(millis(rest));
        let lapse = "UPDATE entries SET extended_until = ?3, has_left = 1 WHERE session = ?1 AND number = ?2
               AND position = (SELECT min(position) FROM entries AS own WHERE own.key = entries.key)";
        if self.change(&entry, lapse, until).await? { Ok(()) } else { Err(removed()) }
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        self.entries.left(entry.number);
        let (id, number) = (self.id.clone(), number(&entry));
        let delete = "DELETE FROM entries WHERE session = ?1 AND number = ?2";
        self.database.request(move |request| request.execute(delete, params![id, number])).await.map(drop)
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        loop {
            tokio::time::sleep(self.database.world().between(CHECK_EVERY / 2, CHECK_EVERY)).await;
            // An error says nothing of the entry.
            let is_gone = matches!(self.find(&entry).await, Ok(Found { own: None, .. }));
            if !self.entries.contains(entry.number) {
                // It has left: nobody removed it.
                return pending().await;
            }
            if is_gone {
                return Err(removed());
            }
        }
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let id = self.id.clone();
        let close = move |request: &Transaction<'_>| {
            request.execute("DELETE FROM sessions WHERE id = ?1", params![id])?;
            request.execute("UPDATE entries SET has_left = 1 WHERE session = ?1", params![id])?;
            request.execute("DELETE FROM entries WHERE session = ?1 AND extended_until = 0", params![id])
        };
        self.database.request(close).await.map(drop)
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

fn find(request: &Transaction<'_>, session: &str, entry: &Entry) -> rusqlite::Result<Found> {
    let own = "SELECT position FROM entries WHERE session = ?1 AND number = ?2 AND NOT has_left";
    let first = "SELECT position, holder FROM entries WHERE key = ?1 ORDER BY position LIMIT 1";
    Ok(Found {
        own: request.query_row(own, params![session, number(entry)], |row| row.get(0)).optional()?,
        first: request.query_row(first, params![entry.key.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?,
    })
}

fn removed() -> Error {
    Error::new(ErrorKind::Lost, "the entry is gone from the database: it was released by force, or its session expired")
}

fn number(entry: &Entry) -> i64 {
    i64::try_from(entry.number).unwrap_or(i64::MAX)
}

fn fence(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}
