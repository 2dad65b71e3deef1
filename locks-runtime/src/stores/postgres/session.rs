//! A session: the entries of this process that are renewed together. The database knows it by its name in each row.

use super::config::Layout;
use super::hub::lock;
use super::shedlock;
use super::slots::{Slots, Stand};
use super::store::{Inner, column};
use super::{enter, turn};
use crate::contract::{Entered, Entry, Grant, Native, Pending, Renewal, Session, WhenBusy};
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Clock};
use crate::world::random;
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio_postgres::types::Type;

/// A session on PostgreSQL.
#[derive(Debug)]
pub(super) struct PostgresSession(Arc<Shared>);

/// What the futures of one session share.
pub(super) struct Shared {
    pub(super) store: Arc<Inner>,
    /// Random, and never used again.
    pub(super) id: String,
    pub(super) ttl: Duration,
    /// Until when the database keeps the entries at least; then the session is over, whatever it still shows.
    until: AtomicMoment,
    pub(super) slots: Slots,
    closed: Mutex<bool>,
}

impl PostgresSession {
    /// Asks the database once, so that what is wrong with it is said here.
    pub(super) async fn open(store: Arc<Inner>, ttl: Duration) -> Result<Self, Error> {
        let (sent, ttl) = (Clock::Boot.now(), ttl.max(SHORTEST));
        let shared = Arc::new(Shared {
            id: format!("{:016x}{:016x}", random::bits(), random::bits()),
            ttl,
            until: AtomicMoment::new(sent + ttl),
            slots: Slots::default(),
            closed: Mutex::new(false),
            store,
        });
        shared.renew_in_store().await?;
        if shared.store.config().layout == Layout::ShedLock {
            shedlock::check_table(&shared.store).await?;
        }
        shared.store.hub.join(&shared);
        Ok(Self(shared))
    }
}

impl Session for PostgresSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.renew().await.map(|()| Renewal::complete()) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { enter::enter(&shared, &entry, when_busy).await })
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { turn::turn(&shared, &entry).await.map(Grant::new) })
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { enter::keep(&shared, &entry, least).await })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.leave(&entry).await })
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            match turn::gone(&shared, &entry).await {
                Some(error) => Err(error),
                None => pending().await,
            }
        })
    }

    fn close(&self) -> Pending<()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.close().await })
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

impl Shared {
    /// Whether the session may still do anything. One whose time has passed must not: its entries may be another's.
    pub(super) fn check(&self) -> Result<(), Error> {
        if *lock(&self.closed) {
            return Err(Error::lost("the session was closed"));
        }
        if Clock::Boot.now() >= self.until.load() {
            return Err(Error::lost("the session was not renewed in time, and its entries lapsed in the store"));
        }
        Ok(())
    }

    pub(super) fn has_entries(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The TTL as statements take it.
    pub(super) fn micros(&self) -> f64 {
        self.ttl.as_secs_f64() * 1e6
    }

    pub(super) async fn renew(&self) -> Result<(), Error> {
        self.check()?;
        let sent = Clock::Boot.now();
        self.renew_in_store().await?;
        self.until.advance(sent + self.ttl);
        let doubts = self.slots.doubts(self.ttl * 2);
        if !doubts.is_empty() {
            // They are asked about at every renewal, so that a failure needs no answer.
            if let Err(error) = self.take_out(&doubts).await {
                tracing::debug!(%error, "what was given up could not be looked for");
            }
        }
        self.check()
    }

    /// One statement for all entries. It also tells who has come to hold or is gone, in case nobody else did.
    async fn renew_in_store(&self) -> Result<(), Error> {
        let certain = self.slots.certain(self.store.config().layout == Layout::Own);
        let standing = self.slots.standing();
        let (names, numbers) = lists(&standing);
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&self.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&self.micros() as _, Type::FLOAT8),
        ];
        let answer = self.store.ask(&self.store.upkeep, &self.store.sql.renew, &values).await?;
        let mut found = HashSet::new();
        for row in &answer.rows {
            if let Some(held) = column::<Option<i64>>(row, "held")?.and_then(|held| u64::try_from(held).ok()) {
                found.insert(held);
                self.slots.place(held, Stand::Held(fence(column(row, "fence")?)));
            }
            let waiting: Vec<i64> = column(row, "waiting")?;
            found.extend(waiting.into_iter().filter_map(|number| u64::try_from(number).ok()));
        }
        for number in certain.into_iter().filter(|number| !found.contains(number)) {
            self.slots.place(number, Stand::Removed(GONE));
        }
        Ok(())
    }

    async fn leave(&self, entry: &Entry) -> Result<(), Error> {
        // Without a name here, it was never sent or has left before.
        if let Some(name) = self.slots.leaving(entry.number) {
            self.take_out(&[(name, entry.number)]).await?;
            self.slots.forget(entry.number);
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        *lock(&self.closed) = true;
        let all = self.slots.all_leaving();
        if !all.is_empty() {
            self.take_out(&all).await?;
        }
        self.slots.clear();
        self.store.hub.forget(&self.id);
        Ok(())
    }

    /// Takes entries out of the store, and hands on what they hold.
    async fn take_out(&self, entries: &[(String, u64)]) -> Result<(), Error> {
        let (names, numbers) = lists(entries);
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&self.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&self.store.table.channel as _, Type::TEXT),
        ];
        self.store.ask(&self.store.work, &self.store.sql.leave, &values).await?;
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.store.hub.forget(&self.id);
    }
}

/// What etcd grants at the least: a busy database or network takes a good part of a second now and then.
const SHORTEST: Duration = Duration::from_secs(2);

const GONE: &str = "the entry is gone from the store: somebody removed it, or it was not renewed in time";

/// A fence as the engine has it.
pub(super) fn fence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A number as the database has it.
pub(super) fn number(entry: &Entry) -> i64 {
    i64::try_from(entry.number).unwrap_or(i64::MAX)
}

fn lists(entries: &[(String, u64)]) -> (Vec<&str>, Vec<i64>) {
    let numbers = entries.iter().map(|(_, number)| i64::try_from(*number).unwrap_or(i64::MAX));
    (entries.iter().map(|(name, _)| name.as_str()).collect(), numbers.collect())
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
