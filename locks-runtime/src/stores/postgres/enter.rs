//! Entering a lock's queue: one statement, which acquires the lock if it is free.

use super::entries::Status;
use super::error::ENTRY_LAPSED;
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
    let values = [
        (&name as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&record as _, Type::TEXT),
        (&shared.ttl_micros() as _, Type::FLOAT8),
        (&(when_busy == WhenBusy::Queue) as _, Type::BOOL),
    ];
    entries.sent(entry);
    let answer = client.change(|statements| &statements.enter, &values).await;
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
