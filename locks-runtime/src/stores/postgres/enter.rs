//! Entering a lock's queue: a small statement, which acquires the lock if it is free, and where it is not, one that joins.

use super::client::Answer;
use super::connection::Value;
use super::entries::Status;
use super::error::{ENTRY_LAPSED, Failure};
use super::row::{View, column, number};
use super::shared::Shared;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::Error;
use std::sync::Arc;
use tokio_postgres::types::Type;

pub(super) async fn enter(shared: &Shared, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let (client, entries) = (&shared.client, &shared.entries);
    let layout = client.config().layout;
    let name = client.name(&entry.key)?;
    if let Some(Status::Removed(reason)) = entries.get(entry.number, |state| state.status()) {
        return Err(Error::lost(reason));
    }
    let record = layout.record(&entry.holder);
    let joins = when_busy == WhenBusy::Queue;
    let values = [
        (&name as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&record as _, Type::TEXT),
        (&shared.ttl_micros() as _, Type::FLOAT8),
        (&joins as _, Type::BOOL),
    ];
    entries.sent(entry);
    let answer = send(shared, entry, &values, when_busy).await;
    if !answer.as_ref().map_or_else(|failure| failure.is_unresolved, |answer| answer.is_unresolved) {
        entries.resolved(entry.number);
    }
    if answer.is_err() {
        // Definitely refused, as behind a row that stays locked: there is nothing to withdraw, again and again.
        entries.forget_if(entry.number, |state| state.status() == Status::Sent);
    }
    let rows = answer?.rows;
    let row = rows.first().ok_or_else(|| Error::unavailable("PostgreSQL returned no row for a lock"))?;
    layout.check_row(row)?;
    match View::read(row, &shared.id, entry)?.status(client.world.now()) {
        Some(status) => {
            entries.get(entry.number, |state| state.advance(status));
            Ok(if let Status::Held(fence) = status { Entered::held(fence) } else { Entered::Queued })
        }
        None if when_busy == WhenBusy::Refuse => {
            entries.left(entry.number);
            Ok(Entered::Busy(layout.holder(column(row, "holder")?).into()))
        }
        None => {
            entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_LAPSED)));
            Err(Error::lost(ENTRY_LAPSED))
        }
    }
}

/// `values` are those of [`Statements::enter`](super::sql::Statements::enter).
async fn send(shared: &Shared, entry: &Entry, values: &[Value<'_>; 6], when_busy: WhenBusy) -> Result<Answer, Failure> {
    let client = &shared.client;
    if !client.config().layout.has_queue() {
        return client.change(|statements| &statements.enter, values).await;
    }
    let free = client.change(|statements| &statements.enter_free, &values[..5]).await?;
    let view = free.rows.first().and_then(|row| View::read(row, &shared.id, entry).ok());
    let is_enough = |view: View| view.is_held() || (when_busy == WhenBusy::Refuse && view.is_others());
    if view.is_some_and(is_enough) {
        return Ok(free);
    }
    let answer = client.change(|statements| &statements.enter, values).await;
    let answer = answer.map_err(|failure| failure.with_unresolved(free.is_unresolved))?;
    Ok(Answer { is_unresolved: answer.is_unresolved || free.is_unresolved, ..answer })
}
