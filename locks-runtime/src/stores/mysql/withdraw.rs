//! Taking entries out of the store: release and withdrawal are the same.

use super::change::{Missing, change, read, write_each};
use super::error::{ENTRY_GONE, Failure, Verdict};
use super::row::{Row, number};
use super::shared::Shared;
use crate::contract::Entry;
use crate::contract::database::chunks;
use crate::values::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;
use std::sync::Arc;

/// How many rows are written by one statement that says for each what it is to be.
pub(super) const WRITTEN: usize = 128;

/// Takes entries out of the store. The locks that they hold go to the next in the queue.
pub(super) async fn withdraw(shared: &Shared, entries: &[Arc<Entry>]) -> Result<(), Error> {
    leave(shared, entries, false).await
}

/// As [`withdraw`], but extended entries stay until their time is over, if `extended_stay`.
///
/// One whose row another transaction has locked does not keep the others: it fails when those have left.
pub(super) async fn leave(shared: &Shared, entries: &[Arc<Entry>], extended_stay: bool) -> Result<(), Error> {
    for chunk in chunks(entries).filter(|_| entries.len() > 1) {
        leave_together(shared, chunk, extended_stay).await?;
    }
    // What others have changed meanwhile is left, one by one; of the rest nothing is there any more.
    let mut failed = None;
    let left = if entries.len() > 1 { still_there(shared, entries).await? } else { entries.to_vec() };
    for entry in &left {
        failed = leave_alone(shared, entry, extended_stay).await.err().or(failed);
    }
    failed.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Of several locks each leaves by itself, where another transaction has locked one of their rows.
async fn leave_alone(shared: &Shared, entry: &Arc<Entry>, extended_stay: bool) -> Result<(), Failure> {
    let names = shared.client.names(entry).map_err(|error| Failure::unusable(error.kind(), error.to_string()))?;
    let mut result = leave_rows(shared, entry, &names, extended_stay).await;
    if names.len() > 1 && result.as_ref().is_err_and(|failure| failure.verdict == Verdict::RowLocked) {
        result = Ok(());
        for (key, name) in entry.keys().zip(&names) {
            match leave_rows(shared, entry, from_ref(name), extended_stay).await {
                // One that is extended may be there yet.
                Ok(()) if extended_stay => {}
                Ok(()) => entry.note_left(key),
                Err(failure) => result = Err(failure),
            }
        }
    }
    result
}

async fn leave_rows(shared: &Shared, entry: &Arc<Entry>, names: &[String], extended_stay: bool) -> Result<(), Failure> {
    let client = &shared.client;
    let numbers = numbers(from_ref(entry));
    let decide = |rows: &mut [Row], now| {
        rows.iter_mut().for_each(|row| row.leave(&shared.id, &numbers, extended_stay, now));
    };
    let changed = change(client, &client.work, names, Missing::Skip, decide).await?;
    changed.show(client, ENTRY_GONE);
    Ok(())
}

async fn leave_together(shared: &Shared, entries: &[Arc<Entry>], extended_stay: bool) -> Result<(), Error> {
    let (client, numbers) = (&shared.client, numbers(entries));
    let seen = read(client, &client.work, &names(shared, entries)?).await?;
    let left = |row: Row| {
        let mut after = row.clone();
        after.leave(&shared.id, &numbers, extended_stay, seen.now);
        (row, after)
    };
    let pairs: Vec<(Row, Row)> = seen.rows.into_iter().map(left).filter(|(row, after)| row != after).collect();
    for pairs in pairs.chunks(WRITTEN) {
        let written = write_each(client, &client.work, pairs, client.config().request_timeout()).await?;
        for (row, after) in pairs.iter().filter(|(row, _)| written.contains(&row.name)) {
            client.sessions.show_row(row, after, seen.now, ENTRY_GONE);
        }
    }
    Ok(())
}

/// Those of the entries that are in a row yet, under the session's own name.
async fn still_there(shared: &Shared, entries: &[Arc<Entry>]) -> Result<Vec<Arc<Entry>>, Error> {
    let client = &shared.client;
    let seen = read(client, &client.work, &names(shared, entries)?).await?;
    let rows: BTreeMap<&str, &Row> = seen.rows.iter().map(|row| (row.name.as_str(), row)).collect();
    let mut there = Vec::new();
    for entry in entries {
        let number = number(entry);
        let is_in = |name: &String| {
            rows.get(name.as_str()).is_some_and(|row| {
                row.held_by(&shared.id, number, seen.now).is_some()
                    || row.ahead_of(&shared.id, number, seen.now).is_some()
            })
        };
        if client.names(entry)?.iter().any(is_in) {
            there.push(Arc::clone(entry));
        }
    }
    Ok(there)
}

fn names(shared: &Shared, entries: &[Arc<Entry>]) -> Result<Vec<String>, Error> {
    let names: Result<BTreeSet<String>, Error> =
        entries.iter().flat_map(|entry| entry.keys()).map(|key| shared.client.name(key)).collect();
    Ok(names?.into_iter().collect())
}

pub(super) fn numbers(entries: &[Arc<Entry>]) -> BTreeSet<i64> {
    entries.iter().map(|entry| number(entry)).collect()
}
