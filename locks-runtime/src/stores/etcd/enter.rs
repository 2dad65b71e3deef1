//! Putting an entry into its queue, in one transaction.

use super::batch;
use super::beside;
use super::error::{Failure, deleted_while_entering};
use super::names;
use super::part::Part;
use super::put::{alone, noted};
use super::queue::{self, Ahead, QueueView};
use super::shared::Shared;
use super::wait;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::mode::Mode;
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;

pub(super) async fn enter(shared: &Shared, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    let (range, key) = (shared.range(entry), shared.key(entry));
    let record = names::content(entry);
    let lease = shared.lease();
    let is_first = shared.entries.update(entry, |state| state.lease.replace(state.lease.unwrap_or(lease)).is_none());
    if when_busy == WhenBusy::Refuse {
        let tried = match entry.mode {
            Mode::Exclusive => alone(shared, entry, queue::join_if_empty(&range, &key, record.clone(), lease)).await?,
            _ => beside::try_to_join(shared, entry, &record, lease).await?,
        };
        match (tried.own, tried.first_other(&range, tried.own)) {
            (Some(own), _) => return hold_or_withdraw(shared, entry, &tried, own).await,
            (None, Some(holder)) => {
                shared.entries.left(entry.number);
                return Ok(Entered::Busy(holder.holder().into()));
            }
            // The page shows only keys of nested locks, and perhaps they hide the holder: join the queue and look.
            (None, None) => {}
        }
    }
    let part = Part::of(&range, queue::join(&range, entry.mode, &key, record, lease)).putting(entry, &shared.entries);
    // A repetition needs to know whether the entry is there already, which says only a transaction of its own.
    let is_shared = is_first && when_busy == WhenBusy::Queue;
    let client = &shared.client;
    let carried = if is_shared { batch::carry_out(client, part).await } else { batch::alone(client, &part).await };
    let view = noted(shared, entry, carried)?;
    let Some(own) = view.own else {
        return Err(Error::unavailable("etcd answered that the entry was neither created nor there before"));
    };
    match when_busy {
        WhenBusy::Refuse => hold_or_withdraw(shared, entry, &view, own).await,
        WhenBusy::Queue => {
            let ahead = ahead(shared, entry, &view, own).await?;
            Ok(queued_or_held(shared, entry, ahead))
        }
    }
}

/// The entries ahead, from the first page unless that is full of nested locks' keys.
pub(super) async fn ahead(
    shared: &Shared,
    entry: &Entry,
    view: &QueueView,
    own: i64,
) -> Result<Option<Ahead>, Failure> {
    match view.ahead(&shared.range(entry), entry.mode, own) {
        Some(ahead) => Ok(Some(ahead)),
        None => wait::read_ahead(shared, entry, own).await,
    }
}

fn queued_or_held(shared: &Shared, entry: &Arc<Entry>, ahead: Option<Ahead>) -> Entered {
    match ahead {
        Some(ahead) if ahead.lets_hold() => Entered::held(queue::fence(ahead.revision)),
        // If the entry is gone already, `wait_turn` will report it.
        ahead => {
            shared.entries.update(entry, |state| state.ahead = ahead);
            Entered::Queued
        }
    }
}

/// The entry is in the queue although the caller does not want to wait: it holds the lock, or is withdrawn.
async fn hold_or_withdraw(shared: &Shared, entry: &Entry, view: &QueueView, own: i64) -> Result<Entered, Error> {
    match ahead(shared, entry, view, own).await? {
        Some(ahead) if ahead.lets_hold() => return Ok(Entered::held(queue::fence(ahead.revision))),
        Some(_) => {}
        None => return Err(deleted_while_entering()),
    }
    let key = [shared.key(entry)];
    let is_there = |key: &str| Compare::create_revision(key, CompareOp::Equal, own);
    shared.transaction(entry, &queue::delete(&key, is_there).transaction()).await?;
    let range = shared.range(entry);
    let first = shared.client.get(range.start(), &queue::first_records(&range)).await?;
    let view = QueueView { page: queue::keys(&first), ..QueueView::default() };
    let holder = view.first_other(&range, None).map_or_else(Holder::unknown, queue::QueueKey::holder);
    shared.entries.left(entry.number);
    Ok(Entered::Busy(holder.into()))
}
