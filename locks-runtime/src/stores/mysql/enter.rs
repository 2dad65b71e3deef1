//! Entering a lock's queue: one statement, which acquires the lock if it is free and nobody waits; and where it is not, a change of
//! its row. For an entry that lets others hold beside it, or of several locks, it is the second alone.

use super::change::{Changed, Missing, change_seen, read};
use super::client::Seen;
use super::entries::Status;
use super::error::{ENTRY_GONE, Failure, deleted_while_entering};
use super::free;
use super::renew;
use super::row::{Element, Row, is_plain, number};
use super::shared::Shared;
use super::view::Shown;
use crate::contract::database::{Outcome, Way, share};
use crate::contract::{Entered, Entry, Grant, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::sync::Arc;

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let entries = &shared.entries;
    let names = shared.client.names(entry)?;
    if let Some(Status::Removed(_)) = entries.get(entry.number, |state| state.status()) {
        return Err(deleted_while_entering());
    }
    let (record, renewals) = (record(&entry.holder), shared.renewals());
    entries.sent(entry);
    entries.update(entry, |state| state.is_several = !entry.others.is_empty());
    let sent = send(shared, entry, &names, &record, when_busy).await;
    let is_unresolved = match &sent {
        Ok(sent) => sent.is_unresolved,
        Err(failure) => failure.is_unresolved,
    };
    if !is_unresolved {
        entries.resolved(entry.number);
    }
    if sent.is_err() {
        // Definitely refused, as behind a row that stays locked: there is nothing to withdraw, again and again.
        entries.forget_if(entry.number, |state| state.status() == Status::Sent);
    }
    let entered = sent?.entered;
    note(shared, entry, &entered);
    if let Entering::Gone = entered {
        return Err(deleted_while_entering());
    }
    if !matches!(entered, Entering::Busy(_)) && shared.renewals() != renewals {
        // One that was under way may have moved the session's deadline on, and not this entry's time.
        renew::renew_one(shared, entry).await?;
    }
    match entered {
        Entering::Held(grant) => Ok(Entered::Held(grant)),
        Entering::Queued(_) => Ok(Entered::Queued),
        Entering::Busy(holder) => Ok(Entered::Busy(Holder::from_json(holder.as_bytes()).into())),
        Entering::Gone => Err(deleted_while_entering()),
    }
}

/// What is stored of a holder.
pub(super) fn record(holder: &Holder) -> String {
    String::from_utf8(holder.to_json()).unwrap_or_default()
}

/// What a request to enter has come to.
enum Entering {
    Held(Grant),
    Queued(Status),
    /// Behind an entry of this record.
    Busy(String),
    Gone,
}

struct Sent {
    entered: Entering,
    /// An earlier attempt had no definite answer and may still be carried out.
    is_unresolved: bool,
}

fn note(shared: &Shared, entry: &Arc<Entry>, entered: &Entering) {
    let entries = &shared.entries;
    match entered {
        Entering::Held(grant) => {
            entries.get(entry.number, |state| state.show(Status::Held(grant.fence), &grant.others));
        }
        Entering::Queued(status) => {
            entries.get(entry.number, |state| state.advance(*status));
        }
        Entering::Busy(_) => entries.left(entry.number),
        Entering::Gone => {
            entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_GONE)));
        }
    }
}

async fn send(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    names: &[String],
    record: &str,
    when_busy: WhenBusy,
) -> Result<Sent, Failure> {
    let (client, mut is_unresolved, mut seen) = (&shared.client, false, None);
    if is_plain(entry) {
        let outcome = acquire(shared, entry, &names[0], record).await?;
        is_unresolved = outcome.is_unresolved;
        if let Some(fence) = outcome.done {
            return Ok(Sent { entered: Entering::Held(Grant::new(fence)), is_unresolved });
        }
        let row = read(client, &client.work, names).await.map_err(|failure| failure.with_unresolved(is_unresolved))?;
        if row.rows.is_empty() {
            let inserted = free::insert(shared, &[(entry, &names[0], record)]).await;
            let inserted = inserted.map_err(|failure| failure.with_unresolved(is_unresolved))?;
            is_unresolved |= inserted.is_unresolved;
            if let Some(fence) = inserted.done {
                return Ok(Sent { entered: Entering::Held(Grant::new(fence)), is_unresolved });
            }
        } else {
            seen = Some(row);
        }
    }
    let changed = join(shared, entry, names, record, (when_busy, seen)).await;
    let changed = changed.map_err(|failure| failure.with_unresolved(is_unresolved))?;
    changed.show(client, ENTRY_GONE);
    Ok(Sent { is_unresolved: is_unresolved || changed.is_unresolved, entered: shown(shared, entry, changed) })
}

/// Acquires a lock that is free, perhaps in a statement with others.
async fn acquire(shared: &Arc<Shared>, entry: &Arc<Entry>, name: &str, record: &str) -> Result<Outcome, Failure> {
    match share(shared, entry, name, Some(record)).await? {
        Way::Shared(outcome) => Ok(outcome),
        Way::First(_direct) => free::enter(shared, entry, name, record).await,
    }
}

/// Joins the queues, or with `Refuse` only if it holds all at once.
async fn join(
    shared: &Shared,
    entry: &Entry,
    names: &[String],
    record: &str,
    (when_busy, seen): (WhenBusy, Option<Seen>),
) -> Result<Changed<bool>, Failure> {
    let (client, number) = (&shared.client, number(entry));
    let decide = |rows: &mut [Row], now| {
        let is_there = |row: &Row| {
            let is_in_queue = row.queue.iter().any(|own| own.is_of(&shared.id, number) && own.until > now);
            is_in_queue || row.held_by(&shared.id, number, now).is_some()
        };
        let may_enter =
            when_busy == WhenBusy::Queue || rows.iter().all(|row| is_there(row) || row.lets_hold(entry.mode, now));
        if may_enter {
            for row in rows.iter_mut() {
                row.enter(Element::new(&shared.id, entry, record, now.saturating_add(shared.ttl_micros())), now);
            }
        }
        may_enter
    };
    change_seen(client, &client.work, names, (Missing::Insert, seen), decide).await
}

/// What the rows show after a change.
fn shown(shared: &Shared, entry: &Entry, changed: Changed<bool>) -> Entering {
    let Changed { outcome: has_entered, rows, now, .. } = changed;
    let in_the_way = || rows.iter().find(|row| !row.lets_hold(entry.mode, now)).and_then(Row::blocker);
    if !has_entered {
        return Entering::Busy(in_the_way().unwrap_or_default().to_owned());
    }
    match Shown::of(&rows.iter().collect::<Vec<_>>(), &shared.id, entry, now, shared.client.world.now()) {
        Shown::Held(grant) => Entering::Held(grant),
        Shown::Queued(status) => Entering::Queued(status),
        Shown::Gone => Entering::Gone,
    }
}
