//! Renewing: one statement for every two thousand rows of a session's entries. It also shows which of them hold a lock now and
//! which are gone, in case no notification did.
//!
//! A row that another transaction has locked is left out, and asked for again for a moment: it must not stop all others.

use super::entries::{Confirmed, MustBeFound, Status, forget_lapsed, renewable};
use super::error::{ENTRY_GONE, ROW_LOCKED, Verdict};
use super::row::{column, fence};
use super::shared::Shared;
use crate::contract::database::chunks;
use crate::contract::{Backoff, Entry, Renewal, Uncovered};
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The pauses before rows that were locked are asked for again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// The limits of what a renewal gives to rows that were locked, of its TTL and in all. Its other entries wait for it.
const SHARE: u32 = 12;
const MOST: Duration = Duration::from_secs(1);

pub(super) async fn renew(shared: &Shared) -> Result<Renewal, Error> {
    let uncovered = renew_entries(shared).await?;
    forget_lapsed(&shared.entries, shared.client.world.now());
    withdraw_orphans(shared, &shared.entries.renewed().entries).await;
    shared.check()?;
    let uncovered = uncovered.iter().map(|entry| Uncovered::new(entry.number, Error::unavailable(ROW_LOCKED)));
    Ok(Renewal::partial(uncovered.collect()))
}

/// Renews out of turn, after no connection has received notifications for a while.
///
/// It does not count as one of the renewals for which orphans are looked for: a connection that breaks often must not make
/// that time shorter.
pub(super) async fn catch_up(shared: &Shared) -> Result<(), Error> {
    if !shared.entries.is_empty() {
        renew_entries(shared).await?;
        withdraw_orphans(shared, &shared.entries.orphans()).await;
    }
    Ok(())
}

async fn renew_entries(shared: &Shared) -> Result<Vec<Arc<Entry>>, Error> {
    shared.check()?;
    let sent = shared.client.world.now();
    let uncovered = renew_rows(shared).await?;
    shared.renewed(sent);
    Ok(uncovered)
}

/// The statements alone; a session that is being opened sends one to see that the database can be used. Returns the entries
/// that were not renewed.
pub(super) async fn renew_rows(shared: &Shared) -> Result<Vec<Arc<Entry>>, Error> {
    let (client, entries) = (&shared.client, &shared.entries);
    let has_queue = client.config().layout.has_queue();
    let confirmed = Confirmed::of(entries, has_queue);
    let begun = client.world.now();
    let mut seen = Seen::default();
    let all = renewable(entries, has_queue);
    let mut locked = renew_unlocked(shared, &all, &mut seen).await?;
    let until = begun + (shared.ttl / SHARE).min(MOST);
    let mut pauses = Backoff::new(&client.world, SHORTEST_PAUSE, LONGEST_PAUSE);
    while !locked.is_empty() && client.world.now() < until {
        pauses.wait().await;
        locked = renew_unlocked(shared, &locked, &mut seen).await?;
    }
    // Behind many short transactions a row is locked at every look: it takes a place among those who wait for it.
    let locked = renew_one_by_one(shared, locked, until, &mut seen).await?;
    seen.note_who_holds(shared, &all)?;
    seen.note_what_is_gone(shared, &confirmed, &locked);
    Ok(locked)
}

/// Returns those whose rows are locked. Even without entries there is a statement.
async fn renew_unlocked(shared: &Shared, entries: &[Arc<Entry>], seen: &mut Seen) -> Result<Vec<Arc<Entry>>, Error> {
    let mut locked = Vec::new();
    for chunk in chunks(entries).chain(entries.is_empty().then_some(entries)) {
        locked.extend(renew_chunk(shared, chunk, seen).await?);
    }
    Ok(locked)
}

/// Returns those whose rows are locked.
async fn renew_chunk(shared: &Shared, chunk: &[Arc<Entry>], seen: &mut Seen) -> Result<Vec<Arc<Entry>>, Error> {
    let client = &shared.client;
    let (names, numbers) = shared.names_and_numbers(chunk)?;
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&numbers as _, Type::INT8_ARRAY),
        (&shared.ttl_micros() as _, Type::FLOAT8),
    ];
    let limit = shared.renewal_limit();
    let answer = client.ask_within(limit, &client.upkeep, |statements| &statements.renew, &values).await?;
    let mut locked = BTreeSet::new();
    for row in &answer.rows {
        if seen.note(row)? {
            locked.insert(column::<&str>(row, "name")?);
        }
    }
    // Its names are among all of them, in the order of the entries.
    let mut names = names.iter();
    let mut is_locked = |entry: &Entry| {
        // All are taken from the names, whichever is locked.
        names.by_ref().take(entry.keys().count()).filter(|name| locked.contains(name.as_str())).count() > 0
    };
    Ok(chunk.iter().filter(|entry| is_locked(entry)).map(Arc::clone).collect())
}

async fn renew_one_by_one(
    shared: &Shared,
    mut locked: Vec<Arc<Entry>>,
    until: Moment,
    seen: &mut Seen,
) -> Result<Vec<Arc<Entry>>, Error> {
    let (client, mut left) = (&shared.client, Vec::new());
    // At least one of them, each time another.
    let first = client.world.bits() % (locked.len() as u64).max(1);
    locked.rotate_left(usize::try_from(first).unwrap_or(0));
    for entry in locked {
        if !left.is_empty() && client.world.now() > until {
            left.push(entry);
            continue;
        }
        let (names, numbers) = shared.names_and_numbers(std::slice::from_ref(&entry))?;
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&shared.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&shared.ttl_micros() as _, Type::FLOAT8),
        ];
        match client.change_in_upkeep(|statements| &statements.renew_waiting, &values).await {
            Ok(answer) => {
                for row in &answer.rows {
                    seen.note(row)?;
                }
            }
            Err(failure) if failure.verdict == Verdict::RowLocked => left.push(entry),
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(left)
}

/// What the answers to a renewal have shown.
#[derive(Default)]
struct Seen {
    /// By the numbers of the entries, the fences that they hold, with the names of the rows.
    holders: BTreeMap<u64, BTreeMap<String, u64>>,
    /// The names of the rows in whose queues they are.
    waiters: BTreeMap<u64, BTreeSet<String>>,
    locked: BTreeSet<u64>,
}

impl Seen {
    /// Notes what a row shows, and returns whether it is locked: then it is as it was before, and not as it will be.
    fn note(&mut self, row: &Row) -> Result<bool, Error> {
        if column(row, "is_locked")? {
            return Ok(true);
        }
        let name: &str = column(row, "name")?;
        let (held, fences): (Vec<Option<i64>>, Vec<Option<i64>>) = (column(row, "held")?, column(row, "fences")?);
        for (number, number_of_hold) in held.into_iter().zip(fences) {
            if let (Some(number), Some(held)) = (number.and_then(|number| u64::try_from(number).ok()), number_of_hold) {
                self.holders.entry(number).or_default().insert(name.to_owned(), fence(held));
            }
        }
        let waiting: Vec<i64> = column(row, "waiting")?;
        for number in waiting.into_iter().filter_map(|number| u64::try_from(number).ok()) {
            self.waiters.entry(number).or_default().insert(name.to_owned());
        }
        Ok(false)
    }

    /// Notes which entries hold what they wait for by now.
    fn note_who_holds(&mut self, shared: &Shared, all: &[Arc<Entry>]) -> Result<(), Error> {
        for entry in all {
            let Some(held) = self.holders.get(&entry.number) else { continue };
            let Some(first) = held.get(&shared.client.name(&entry.key)?) else { continue };
            let other = |key| Ok(held.get(&shared.client.name(key)?).copied());
            let others: Result<Option<Vec<u64>>, Error> = entry.others.iter().map(other).collect();
            if let Some(others) = others? {
                shared.entries.get(entry.number, |state| state.show(Status::Held(*first), &others));
            }
        }
        Ok(())
    }

    /// An entry that has held the lock is in the queue never again. Of those that are `locked`, nothing is known.
    fn note_what_is_gone(&mut self, shared: &Shared, confirmed: &Confirmed, locked: &[Arc<Entry>]) {
        self.locked.extend(locked.iter().map(|entry| entry.number));
        let held = |number: &u64| self.holders.get(number).map_or(0, BTreeMap::len);
        let waits = |number: &u64| self.waiters.get(number).map_or(0, BTreeSet::len);
        let is_there = |MustBeFound { number, locks, may_wait }: &MustBeFound| {
            self.locked.contains(number) || held(number) + if *may_wait { waits(number) } else { 0 } >= *locks
        };
        for entry in confirmed.0.iter().filter(|entry| !is_there(entry)) {
            shared.entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_GONE)));
        }
    }
}

async fn withdraw_orphans(shared: &Shared, orphans: &[Arc<Entry>]) {
    if orphans.is_empty() {
        return;
    }
    // The next renewal tries again.
    if let Err(error) = shared.withdraw(orphans).await {
        tracing::debug!(target: TARGET, error = %error.chain(), "orphaned entries could not be withdrawn");
    }
}
