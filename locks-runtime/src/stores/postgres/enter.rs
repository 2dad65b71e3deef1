//! Entering a lock's queue: a small statement, which acquires the lock if it is free, and where it is not, one that joins. For an
//! entry that lets others hold beside it, or of several locks, it is the second alone.

use super::client::Answer;
use super::connection::Value;
use super::entries::Status;
use super::error::{ENTRY_GONE, Failure, deleted_while_entering};
use super::row::{Shown, View, column, in_the_way, number};
use super::shared::Shared;
use crate::contract::database::{Outcome, Way, share};
use crate::contract::{Entered, Entry, Grant, WhenBusy};
use crate::values::error::Error;
use crate::values::mode::Mode;
use std::slice::from_ref;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Whether the entry is of one lock, and lets nobody hold beside it.
pub(super) fn is_plain(entry: &Entry) -> bool {
    entry.mode == Mode::Exclusive && entry.others.is_empty()
}

/// The mode as statements take it, in JSON.
fn mode(entry: &Entry) -> Option<String> {
    match entry.mode {
        Mode::Exclusive => None,
        Mode::Shared => Some("\"s\"".to_owned()),
        Mode::Permits(limit) => Some(limit.to_string()),
    }
}

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let (client, entries) = (&shared.client, &shared.entries);
    let layout = client.config().layout;
    let names = client.names(entry)?;
    if let Some(Status::Removed(_)) = entries.get(entry.number, |state| state.status()) {
        return Err(deleted_while_entering());
    }
    let (record, mode) = (layout.record(&entry.holder), mode(entry));
    let joins = when_busy == WhenBusy::Queue;
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&record as _, Type::TEXT),
        (&shared.ttl_micros() as _, Type::FLOAT8),
        (&joins as _, Type::BOOL),
        (&mode as _, Type::TEXT),
    ];
    entries.sent(entry);
    let sent = send(shared, entry, &values, (&names[0], &record), when_busy).await;
    let is_unresolved = match &sent {
        Ok(Sent::Shared(_, is_unresolved) | Sent::Alone(Answer { is_unresolved, .. })) => *is_unresolved,
        Err(failure) => failure.is_unresolved,
    };
    if !is_unresolved {
        entries.resolved(entry.number);
    }
    if sent.is_err() {
        // Definitely refused, as behind a row that stays locked: there is nothing to withdraw, again and again.
        entries.forget_if(entry.number, |state| state.status() == Status::Sent);
    }
    let rows = match sent? {
        Sent::Alone(answer) => answer.rows,
        Sent::Shared(fence, _) => {
            entries.get(entry.number, |state| state.advance(Status::Held(fence)));
            return Ok(Entered::held(fence));
        }
    };
    shown(shared, entry, &names, &rows, when_busy).await
}

/// What the rows show of an entry that was sent.
async fn shown(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    names: &[String],
    rows: &[Row],
    when_busy: WhenBusy,
) -> Result<Entered, Error> {
    let (client, entries) = (&shared.client, &shared.entries);
    let layout = client.config().layout;
    let row = in_the_way(rows, &shared.id, entry)?;
    let row = row.ok_or_else(|| Error::unavailable("PostgreSQL returned no row for a lock"))?;
    layout.check_row(row)?;
    let Shown { status, others, held } = Shown::read(rows, &shared.id, entry, names, client.world.now())?;
    match status {
        Some(Status::Held(fence)) => {
            entries.get(entry.number, |state| state.show(Status::Held(fence), &others));
            Ok(Entered::Held(Grant { others, ..Grant::new(fence) }))
        }
        Some(status) => {
            entries.get(entry.number, |state| state.advance(status));
            Ok(Entered::Queued)
        }
        None if when_busy == WhenBusy::Refuse => {
            let holder = layout.holder(column(row, "holder")?);
            if held > 0 {
                // Some were taken by others since the statement began, and the rest were free. `Busy` promises that nothing is left.
                shared.withdraw(from_ref(entry)).await?;
            }
            entries.left(entry.number);
            Ok(Entered::Busy(holder.into()))
        }
        None => {
            entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_GONE)));
            Err(deleted_while_entering())
        }
    }
}

/// What came of a request to enter.
enum Sent {
    /// The entry holds the lock with this fence, by a statement for several; and whether that is unresolved.
    Shared(u64, bool),
    Alone(Answer),
}

/// `values` are those of [`Statements::enter`](super::sql::Statements::enter).
async fn send(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    values: &[Value<'_>; 7],
    (name, record): (&str, &String),
    when_busy: WhenBusy,
) -> Result<Sent, Failure> {
    let client = &shared.client;
    if !client.config().layout.has_queue() || !is_plain(entry) {
        return client.change(|statements| &statements.enter, values).await.map(Sent::Alone);
    }
    let way = share(shared, entry, name, Some(record)).await?;
    let was_unresolved = match way {
        Way::Shared(Outcome { done: Some(fence), is_unresolved }) => return Ok(Sent::Shared(fence, is_unresolved)),
        Way::Shared(outcome) => outcome.is_unresolved,
        Way::First(_) => false,
    };
    let answer = alone(shared, entry, values, (name, when_busy), matches!(way, Way::First(_))).await;
    let answer = answer.map_err(|failure| failure.with_unresolved(was_unresolved))?;
    Ok(Sent::Alone(Answer { is_unresolved: answer.is_unresolved || was_unresolved, ..answer }))
}

/// Unless it `is_first`, the lock was not free just now.
async fn alone(
    shared: &Shared,
    entry: &Entry,
    values: &[Value<'_>; 7],
    (name, when_busy): (&str, WhenBusy),
    is_first: bool,
) -> Result<Answer, Failure> {
    let client = &shared.client;
    let mut was_unresolved = false;
    if is_first || when_busy == WhenBusy::Refuse {
        let [_, session, number, record, ttl, ..] = values.clone();
        let values = [(&name as _, Type::TEXT), session, number, record, ttl];
        let free = client.change(|statements| &statements.enter_free, &values).await?;
        let view = free.rows.first().and_then(|row| View::read(row, &shared.id, entry).ok());
        let is_enough = |view: View| view.is_held() || (when_busy == WhenBusy::Refuse && view.is_others());
        if view.is_some_and(is_enough) {
            return Ok(free);
        }
        was_unresolved = free.is_unresolved;
    }
    let answer = client.change(|statements| &statements.enter, values).await;
    let answer = answer.map_err(|failure| failure.with_unresolved(was_unresolved))?;
    Ok(Answer { is_unresolved: answer.is_unresolved || was_unresolved, ..answer })
}
