//! Renewing: one statement for every two thousand rows that are held alone. Entries in queues, whose times are in their rows' queues,
//! are read and written, a good hundred rows at a time.
//!
//! A row that another transaction has locked is left out, and asked for again for a moment: it must not stop all others.

use super::change::{Missing, change, read, unlocked, write_each};
use super::entries::{Confirmed, Status, forget_lapsed, renewable};
use super::error::{ENTRY_GONE, Failure, ROW_LOCKED, lapsed_while_entering};
use super::parameters::{Parameters, padded};
use super::row::{Row, is_plain, number};
use super::seen::Renewed;
use super::shared::Shared;
use super::sql::Kind;
use super::view::Shown;
use super::withdraw::{WRITTEN, numbers, withdraw};
use crate::contract::database::chunks;
use crate::contract::{Backoff, Entry, Renewal, Uncovered};
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

/// The pauses before rows that were locked are asked for again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// The limits of what a renewal gives to rows that were locked, of its TTL and in all. Its other entries wait for it.
const SHARE: u32 = 12;
const MOST: Duration = Duration::from_secs(1);

pub(super) async fn renew(shared: &Shared) -> Result<Renewal, Error> {
    shared.check()?;
    let sent = shared.begin_renewal();
    let uncovered = renew_rows(shared).await?;
    shared.renewed(sent);
    forget_lapsed(&shared.entries, shared.client.world.now());
    withdraw_orphans(shared, &shared.entries.renewed().entries).await;
    shared.check()?;
    let uncovered = uncovered.iter().map(|entry| Uncovered::new(entry.number, Error::unavailable(ROW_LOCKED)));
    Ok(Renewal::partial(uncovered.collect()))
}

/// Renews an entry that may have come too late for a renewal that was under way.
///
/// It may have lapsed by then: what entered a queue at the second attempt has the time of the first, and the session has been renewed
/// since.
pub(super) async fn renew_one(shared: &Shared, entry: &Arc<Entry>) -> Result<(), Error> {
    let (client, names, numbers) = (&shared.client, shared.client.names(entry)?, numbers(from_ref(entry)));
    let decide = |rows: &mut [Row], now: i64| {
        rows.iter_mut().for_each(|row| row.renew(&shared.id, &numbers, now.saturating_add(shared.ttl_micros()), now));
    };
    let changed = change(client, &client.work, &names, Missing::Skip, decide).await?;
    changed.show(client, ENTRY_GONE);
    let rows: Vec<&Row> = changed.rows.iter().collect();
    if Shown::of(&rows, &shared.id, entry, changed.now, client.world.now()) == Shown::Gone {
        shared.entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_GONE)));
        return Err(lapsed_while_entering());
    }
    Ok(())
}

/// The statements alone; a session that is being opened sends one to see that the database can be used. Returns the entries
/// that were not renewed.
pub(super) async fn renew_rows(shared: &Shared) -> Result<Vec<Arc<Entry>>, Error> {
    let (entries, world) = (&shared.entries, &shared.client.world);
    let confirmed = Confirmed::of(entries, true);
    let (begun, mut seen) = (world.now(), Renewed::default());
    let is_held = |entry: &Arc<Entry>| {
        let is_held = entries.get(entry.number, |state| matches!(state.status(), Status::Held(_)));
        is_plain(entry) && is_held == Some(true)
    };
    let (alone, mut left): (Vec<_>, Vec<_>) = renewable(entries, true).into_iter().partition(is_held);
    let without_any = (alone.is_empty() && left.is_empty()).then_some(&alone[..]);
    for chunk in chunks(&alone).chain(without_any) {
        left.extend(renew_alone(shared, chunk, &mut seen).await?);
    }
    let until = begun + (shared.ttl / SHARE).min(MOST);
    let mut pauses = Backoff::new(world, SHORTEST_PAUSE, LONGEST_PAUSE);
    while !left.is_empty() {
        let all = std::mem::take(&mut left);
        for chunk in chunks(&all) {
            left.extend(renew_queued(shared, chunk, &mut seen).await?);
        }
        if world.now() >= until {
            break;
        }
        if !left.is_empty() {
            pauses.wait().await;
        }
    }
    seen.note(entries, &confirmed, &left, &names_of(shared));
    Ok(left)
}

fn names_of(shared: &Shared) -> impl Fn(&Entry) -> Vec<String> {
    |entry| shared.client.names(entry).unwrap_or_default()
}

/// Renews what is held alone. Even without entries there is a statement. Returns those that were not renewed, or not for certain.
async fn renew_alone(shared: &Shared, entries: &[Arc<Entry>], seen: &mut Renewed) -> Result<Vec<Arc<Entry>>, Error> {
    let (mut wanted, mut left) = (entries.to_vec(), Vec::new());
    for is_last in [false, true] {
        match send_renewal(shared, &wanted).await {
            Ok(true) => {
                seen.note_all(&wanted);
                return Ok(left);
            }
            Err(failure) if failure.is_in_the_way() && !is_last => {
                let (unlocked, locked) = split(shared, &wanted).await?;
                left.extend(locked);
                wanted = unlocked;
            }
            Err(failure) if !failure.is_in_the_way() => return Err(failure.into()),
            _ => break,
        }
    }
    left.extend(wanted);
    Ok(left)
}

/// Those whose rows are not locked, and the others.
async fn split(shared: &Shared, entries: &[Arc<Entry>]) -> Result<(Vec<Arc<Entry>>, Vec<Arc<Entry>>), Error> {
    let client = &shared.client;
    let names: Vec<String> = entries.iter().map(|entry| client.name(&entry.key)).collect::<Result<_, _>>()?;
    let unlocked = unlocked(client, &client.upkeep, &names).await?;
    let is_unlocked = |entry: &Arc<Entry>| client.name(&entry.key).is_ok_and(|name| unlocked.contains(&name));
    Ok(entries.iter().map(Arc::clone).partition(is_unlocked))
}

/// Returns whether all of them were renewed.
async fn send_renewal(shared: &Shared, entries: &[Arc<Entry>]) -> Result<bool, Failure> {
    let client = &shared.client;
    let names: Result<Vec<String>, Error> = entries.iter().map(|entry| client.name(&entry.key)).collect();
    let names = names.map_err(|error| Failure::unusable(error.kind(), error.to_string()))?;
    let rows = padded(entries.len().max(1));
    let values = Parameters::default()
        .one(shared.ttl_micros())
        .list(&names, rows)
        .one(&shared.id)
        .list(entries.iter().map(|entry| number(entry)), rows);
    let answer = client.ask_within(shared.renewal_limit(), &client.upkeep, (Kind::Renew, rows), &values.0).await?;
    Ok(answer.reply.affected == entries.len() as u64)
}

/// Returns those of which a row is locked, or was changed by others.
async fn renew_queued(shared: &Shared, entries: &[Arc<Entry>], seen: &mut Renewed) -> Result<Vec<Arc<Entry>>, Error> {
    let (client, numbers) = (&shared.client, numbers(entries));
    let mut names = BTreeSet::new();
    for entry in entries {
        names.extend(client.names(entry)?);
    }
    let names: Vec<String> = names.into_iter().collect();
    let found = read(client, &client.upkeep, &names).await?;
    let until = found.now.saturating_add(shared.ttl_micros());
    let (mut pairs, mut done) = (Vec::new(), Vec::new());
    for row in found.rows {
        let mut after = row.clone();
        after.renew(&shared.id, &numbers, until, found.now);
        if row == after {
            done.push(row);
        } else {
            pairs.push((row, after));
        }
    }
    let mut locked = BTreeSet::new();
    for pairs in pairs.chunks(WRITTEN) {
        let written = write_each(client, &client.upkeep, pairs, shared.renewal_limit()).await?;
        for (row, after) in pairs {
            if written.contains(&row.name) {
                client.sessions.show_row(row, after, found.now, ENTRY_GONE);
                done.push(after.clone());
            } else {
                locked.insert(row.name.clone());
            }
        }
    }
    seen.note_rows(&shared.id, &done, found.now);
    let is_locked =
        |entry: &&Arc<Entry>| client.names(entry).is_ok_and(|names| names.iter().any(|name| locked.contains(name)));
    Ok(entries.iter().filter(is_locked).map(Arc::clone).collect())
}

async fn withdraw_orphans(shared: &Shared, orphans: &[Arc<Entry>]) {
    if orphans.is_empty() {
        return;
    }
    // The next renewal tries again.
    if let Err(error) = withdraw(shared, orphans).await {
        tracing::debug!(target: TARGET, error = %error.chain(), "orphaned entries could not be withdrawn");
    }
}
