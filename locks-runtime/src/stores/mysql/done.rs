//! What was done once: a row of its own, named as the lock's with a tab and `done` after it, and its record where a lock has that of
//! its holder. No lock's key has a control character.
//!
//! It has a time far off in place of that of a hold, so that it is never cleaned up; one that is forgotten is empty, and is.

use super::change::{Missing, change, read as read_rows};
use super::client::Client;
use super::config::Layout;
use super::error::not_held;
use super::row::{Micros, Row, number};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use std::sync::Arc;

/// In place of a time.
const FOR_EVER: Micros = Micros::MAX;

/// In one step with a look at the hold: both rows are written if neither has changed.
pub(super) async fn mark(shared: &Shared, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    shared.check()?;
    let (client, number) = (&shared.client, number(entry));
    let names = [client.name(&entry.key)?, name(client, &entry.key)?];
    let decide = |rows: &mut [Row], now| {
        let [lock, done] = rows else { return false };
        let held = lock.held_by(&shared.id, number, now);
        if let Some(fence) = held {
            // A change for its own sake: only of rows that change it is seen that they are what they were.
            lock.locked_until = lock.locked_until.max(now.saturating_add(shared.ttl_micros())).saturating_add(1);
            (done.holder, done.fence, done.locked_until) = (Some(record.to_string()), fence, FOR_EVER);
        }
        held.is_some()
    };
    let changed = change(client, &client.work, &names, Missing::Insert, decide).await?;
    if changed.outcome { Ok(()) } else { Err(not_held()) }
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    let seen = read_rows(client, &client.work, &[name(client, key)?]).await?;
    Ok(seen.rows.into_iter().next().and_then(|row| row.holder))
}

pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    let decide = |rows: &mut [Row], now| {
        let was_there = rows.first().is_some_and(|row| row.holder.is_some());
        if let (true, Some(row)) = (was_there, rows.first_mut()) {
            (row.holder, row.locked_until) = (None, now);
        }
        was_there
    };
    Ok(change(client, &client.work, &[name(client, key)?], Missing::Skip, decide).await?.outcome)
}

fn name(client: &Client, key: &Key) -> Result<String, Error> {
    if client.config().layout == Layout::ShedLock {
        let what = "ShedLock's table cannot remember what was done once; use a table of this crate's own";
        return Err(Error::new(ErrorKind::Unsupported, what).with_key(key));
    }
    Ok(format!("{}\tdone", client.name(key)?))
}
