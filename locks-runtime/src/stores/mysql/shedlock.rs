//! ShedLock's table, for Java services that use the same locks: <https://github.com/lukas-krecan/ShedLock>.
//!
//! `shedlock(name, lock_until, locked_at, locked_by)`, in UTC, as ShedLock's `usingDbTime()` writes. A lock is free when `lock_until` has
//! come. There is nothing else in it, so:
//!
//! - There is no queue: waiters look some times a second, and the first that finds the lock free acquires it. A Java
//!   service that tries in between has it first.
//! - There is no fence. A hold's number is the millisecond at which it began by the database's clock.
//! - There is one holder at a time, and one row for each lock: no readers, no permits, and no several locks at one moment.
//! - There is no record: `locked_by` has our session, the host and the function's name.
//! - A name has at most 64 characters, and is what the column's collation takes it for: `Job` and `job` are one lock in most.
//! - A Java service must use `usingDbTime()`, and have sessions of the same time zone as ours, which is the server's.
//! - The table is never created and no row of it deleted: ShedLock does neither, and remembers which names it has inserted.

use super::client::Client;
use super::entries::{Confirmed, EntryState, Status, forget_lapsed, renewable};
use super::error::{ENTRY_GONE, Failure, ROW_LOCKED, not_held};
use super::look;
use super::parameters::{Parameters, padded};
use super::removed;
use super::row::{Micros, number};
use super::shared::{Shared, micros};
use super::shedlock_rows::{Answer, Row, ask, check_name, read, room, signature, signed};
use super::shedlock_sql::{Kind, LAPSING};
use super::view::left;
use crate::contract::database::MOST_ROWS;
use crate::contract::{AsyncSession, Backoff, Entered, Entry, Grant, Native, Renewal, Uncovered, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The shortest TTL, as of the store's own table.
const SHORTEST_TTL: Duration = Duration::from_secs(2);

/// The pauses before a row is tried again that another transaction has locked, and how long it may stay locked.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(60);
const LOCKED: Duration = Duration::from_millis(500);

/// A session on ShedLock's table.
#[derive(Debug)]
pub(super) struct ShedLockSession(Arc<Shared>);

/// What a try has come to.
enum Tried {
    Held(u64),
    Busy(Row),
}

impl ShedLockSession {
    /// Asks the database once, so that what is wrong with it is reported here.
    pub(super) async fn open(client: Arc<Client>, ttl: Duration) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(client, ttl.max(SHORTEST_TTL)));
        read(&shared.client, &shared.client.work, &[String::new()]).await?;
        shared.client.sessions.open(&shared.id, &shared.entries);
        Ok(Self(shared))
    }

    fn name(&self, entry: &Entry) -> Result<String, Error> {
        let name = self.0.client.name(&entry.key)?;
        check_name(&name)?;
        Ok(name)
    }

    /// Acquires the lock, if it is free. The second is whether an earlier attempt is unresolved.
    async fn attempt(&self, entry: &Entry, name: &str) -> Result<(Tried, bool), Failure> {
        let Shared { client, id, .. } = &*self.0;
        let in_use = client.in_use(&client.work).await?;
        let signature = signed(&signature(id, number(entry), &entry.holder), "0", room(in_use.room));
        let values = Parameters::default().one(signature).one(self.0.ttl_micros()).one(name).0;
        let names = [name.to_owned()];
        let (begun, mut is_unresolved) = (client.world.now(), false);
        let mut pauses = Backoff::new(&client.world, SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            let failed = |failure: Failure| failure.with_unresolved(is_unresolved);
            match ask(client, &client.work, (Kind::Acquire, 1), &values).await {
                Ok(acquired) => {
                    is_unresolved |= acquired.is_unresolved;
                    if acquired.affected > 0 {
                        return Ok((Tried::Held(acquired.insert_id), is_unresolved));
                    }
                }
                Err(failure) if failure.is_in_the_way() => is_unresolved |= failure.is_unresolved,
                Err(failure) => return Err(failed(failure)),
            }
            let failed = |failure: Failure| failure.with_unresolved(is_unresolved);
            match read(client, &client.work, &names).await.map_err(failed)?.pop() {
                None => {
                    if let Some(fence) = self.insert(&values, &mut is_unresolved).await? {
                        return Ok((Tried::Held(fence), is_unresolved));
                    }
                }
                Some(row) => {
                    row.check_time().map_err(|error| Failure::unusable(error.kind(), error.to_string()))?;
                    if row.left > 0 && row.is_of(id, number(entry)) {
                        return Ok((Tried::Held(u64::try_from(row.fence).unwrap_or(0)), is_unresolved));
                    }
                    if row.left > 0 {
                        return Ok((Tried::Busy(row), is_unresolved));
                    }
                }
            }
            if client.world.now() > begun + LOCKED {
                return Err(Failure::row_locked(&client.config().hosts.join(",")).with_unresolved(is_unresolved));
            }
            pauses.wait().await;
        }
    }

    async fn insert(&self, values: &[mysql_async::Value], is_unresolved: &mut bool) -> Result<Option<u64>, Failure> {
        let client = &self.0.client;
        match ask(client, &client.work, (Kind::Insert, 1), values).await {
            Ok(inserted) => {
                *is_unresolved |= inserted.is_unresolved;
                Ok((inserted.affected > 0).then_some(inserted.insert_id))
            }
            Err(failure) if failure.is_in_the_way() => {
                *is_unresolved |= failure.is_unresolved;
                Ok(None)
            }
            Err(failure) => Err(failure.with_unresolved(*is_unresolved)),
        }
    }

    /// Changes what the entry holds, by a statement for its row alone. Fails if it does not hold the lock.
    async fn change(&self, entry: &Entry, kind: Kind, values: &[mysql_async::Value]) -> Result<(), Error> {
        let Shared { client, id, .. } = &*self.0;
        let names = [self.name(entry)?];
        let begun = client.world.now();
        let mut pauses = Backoff::new(&client.world, SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            match ask(client, &client.work, (kind, 1), values).await {
                Ok(Answer { affected: 1.., .. }) => return Ok(()),
                Err(failure) if !failure.is_in_the_way() => return Err(failure.into()),
                _ => {}
            }
            let row = read(client, &client.work, &names).await?.pop();
            let Some(_) = row.filter(|row| row.left > 0 && row.is_of(id, number(entry))) else {
                return Err(not_held());
            };
            if client.world.now() > begun + LOCKED {
                return Err(Error::unavailable(ROW_LOCKED));
            }
            pauses.wait().await;
        }
    }

    async fn withdraw(&self, entry: &Entry, extended_stays: bool) -> Result<(), Error> {
        let values = Parameters::default()
            .one(extended_stays)
            .one(self.name(entry)?)
            .one(&self.0.id)
            .one(number(entry).to_string())
            .0;
        match self.change(entry, Kind::Leave, &values).await {
            Err(error) if error.kind() == ErrorKind::Lost => Ok(()),
            left => left,
        }
    }

    async fn renew_rows(&self) -> Result<Vec<Arc<Entry>>, Error> {
        let Shared { client, entries, id, .. } = &*self.0;
        let (confirmed, all) = (Confirmed::of(entries, false), renewable(entries, false));
        let mut uncovered = Vec::new();
        for chunk in all.chunks(MOST_ROWS) {
            let names: Result<Vec<String>, Error> = chunk.iter().map(|entry| self.name(entry)).collect();
            let rows = padded(chunk.len());
            let values = Parameters::default()
                .one(self.0.ttl_micros())
                .list(names?, rows)
                .one(id)
                .list(chunk.iter().map(|entry| number(entry).to_string()), rows)
                .0;
            match ask(client, &client.upkeep, (Kind::Renew, rows), &values).await {
                Ok(renewed) if renewed.affected == chunk.len() as u64 => {}
                Err(failure) if !failure.is_in_the_way() => return Err(failure.into()),
                _ => uncovered.extend(self.renew_each(chunk).await?),
            }
        }
        if all.is_empty() {
            read(client, &client.upkeep, &[String::new()]).await?;
        }
        let is_gone = |entry: &&Arc<Entry>| {
            confirmed.0.iter().any(|known| known.number == entry.number)
                && entries
                    .get(entry.number, |state| state.status())
                    .is_some_and(|status| matches!(status, Status::Removed(_)))
        };
        uncovered.retain(|entry| !is_gone(&entry));
        Ok(uncovered)
    }

    /// Each by itself, to find out which of them is gone. Returns those whose rows are locked.
    async fn renew_each(&self, entries: &[Arc<Entry>]) -> Result<Vec<Arc<Entry>>, Error> {
        let mut locked = Vec::new();
        for entry in entries {
            let values = Parameters::default()
                .one(self.0.ttl_micros())
                .one(self.name(entry)?)
                .one(&self.0.id)
                .one(number(entry).to_string())
                .0;
            match self.change(entry, Kind::Renew, &values).await {
                Err(error) if error.kind() == ErrorKind::Lost => {
                    self.0.entries.get(entry.number, |state| {
                        if matches!(state.status(), Status::Held(_)) {
                            state.advance(Status::Removed(ENTRY_GONE));
                        }
                    });
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => locked.push(Arc::clone(entry)),
                renewed => renewed?,
            }
        }
        Ok(locked)
    }
}

impl AsyncSession for ShedLockSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        let shared = &self.0;
        shared.check()?;
        let sent = shared.begin_renewal();
        let uncovered = self.renew_rows().await?;
        shared.renewed(sent);
        forget_lapsed(&shared.entries, shared.client.world.now());
        for orphan in shared.entries.renewed().entries {
            if let Err(error) = self.withdraw(&orphan, false).await {
                tracing::debug!(target: TARGET, error = %error.chain(), "an orphaned entry could not be withdrawn");
            }
        }
        shared.check()?;
        let uncovered = uncovered.iter().map(|entry| Uncovered::new(entry.number, Error::unavailable(ROW_LOCKED)));
        Ok(Renewal::partial(uncovered.collect()))
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        let Shared { client, entries, .. } = &*self.0;
        self.0.check()?;
        let (name, renewals) = (self.name(&entry)?, self.0.renewals());
        entries.sent(&entry);
        let tried = self.attempt(&entry, &name).await;
        let is_unresolved = match &tried {
            Ok((_, is_unresolved)) => *is_unresolved,
            Err(failure) => failure.is_unresolved,
        };
        if !is_unresolved {
            entries.resolved(entry.number);
        }
        if tried.is_err() {
            entries.forget_if(entry.number, |state| state.status() == Status::Sent);
        }
        match tried?.0 {
            Tried::Held(fence) => {
                entries.get(entry.number, |state| state.advance(Status::Held(fence)));
                if self.0.renewals() != renewals {
                    // One that was under way may have moved the session's deadline on, and not this entry's time.
                    self.renew_each(std::slice::from_ref(&entry)).await?;
                }
                Ok(Entered::held(fence))
            }
            Tried::Busy(row) if when_busy == WhenBusy::Refuse => {
                entries.left(entry.number);
                Ok(Entered::Busy(row.holder().into()))
            }
            Tried::Busy(row) => {
                let until = client.world.now() + left(row.left, 0);
                entries.get(entry.number, |state| state.advance(Status::Queued { ahead: 0, until }));
                Ok(Entered::Queued)
            }
        }
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let Shared { client, entries, ttl, .. } = &*self.0;
        let unknown = || Error::lost("the entry does not wait");
        let mut known = entries.get(entry.number, |state| state.subscribe()).ok_or_else(unknown)?;
        look::begin(client);
        loop {
            self.0.check()?;
            let status = *known.borrow_and_update();
            let until = match status {
                Status::Held(fence) => return Ok(Grant::new(fence)),
                Status::Removed(reason) => return Err(Error::lost(reason)),
                Status::Left | Status::Lapsing { .. } => return Err(Error::lost("the entry does not wait any more")),
                Status::Sent => client.world.now(),
                Status::Queued { until, .. } => until,
            };
            let pause = until.since(client.world.now());
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    changed = known.changed() => changed.map_err(|_| unknown())?,
                    () = tokio::time::sleep(pause.min(*ttl / 2)) => {}
                }
                continue;
            }
            match Arc::clone(&self).enter(Arc::clone(&entry), WhenBusy::Queue).await {
                Ok(Entered::Held(grant)) => return Ok(grant),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(target: TARGET, error = %error.chain(), "waiting for a lock although the database does not answer");
                    tokio::time::sleep(client.world.between(LOCKED / 2, LOCKED)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.0.check()?;
        let [before, after] = signature(&self.0.id, number(&entry), &entry.holder);
        let least: Micros = micros(least);
        let values = Parameters::default()
            .one(least)
            .one(before)
            .one(least)
            .one(after)
            .one(self.name(&entry)?)
            .one(&self.0.id)
            .one(number(&entry).to_string())
            .0;
        self.change(&entry, Kind::Extend, &values).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        self.0.check()?;
        let Shared { client, entries, id, .. } = &*self.0;
        let over = Status::Lapsing { until: client.world.now() + rest };
        entries.get(entry.number, |state| state.advance(over)).ok_or_else(not_held)?;
        let in_use = client.in_use(&client.work).await?;
        let signature = signed(&signature(id, number(&entry), &entry.holder), LAPSING, room(in_use.room));
        let values = Parameters::default()
            .one(micros(rest))
            .one(signature)
            .one(self.name(&entry)?)
            .one(id)
            .one(number(&entry).to_string())
            .0;
        self.change(&entry, Kind::Lapse, &values).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        let entries = &self.0.entries;
        if entries.leaving(entry.number, EntryState::leave).is_some() {
            self.withdraw(&entry, false).await?;
            entries.left(entry.number);
        } else if entries.is_orphan(entry.number) {
            self.withdraw(&entry, false).await?;
        }
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        removed::removed(&self.0, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let Shared { entries, client, id, .. } = &*self.0;
        self.0.close();
        let mut leaving: Vec<(Arc<Entry>, bool)> = entries.orphans().into_iter().map(|entry| (entry, false)).collect();
        leaving.extend(entries.collect(|entry, state, is_leaving| match state.status() {
            Status::Lapsing { .. } => None,
            _ => {
                state.leave();
                Some((Arc::clone(entry), !is_leaving))
            }
        }));
        let mut closed = Ok(());
        for (entry, extended_stays) in leaving {
            closed = closed.and(self.withdraw(&entry, extended_stays).await);
        }
        closed?;
        client.sessions.close(id);
        Ok(())
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}
