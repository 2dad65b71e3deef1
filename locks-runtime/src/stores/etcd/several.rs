//! Entries of several locks: a key in the queue of each, all of them put by one transaction, and so at one revision.
//!
//! What is sent about them is about all their keys at once, too. Only waiting is for one queue after the other: whoever is the
//! first in one of them stays that, for as long as its key is there.

use super::batch;
use super::enter::ahead;
use super::error::{ENTRY_DELETED, Failure, deleted_while_entering};
use super::lapse;
use super::part::Part;
use super::put::noted;
use super::queue::{self, Conditional, QueueView};
use super::shared::Shared;
use super::whole::{are_there, singles};
use super::{removed as removal, wait};
use crate::contract::{Backoff, Entered, Entry, Grant, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::mode::Mode;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

pub(super) async fn enter(shared: &Shared, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    let (singles, record, lease) = (singles(entry), entry.holder.to_json(), shared.lease());
    let is_first = shared.entries.update(entry, |state| state.lease.replace(state.lease.unwrap_or(lease)).is_none());
    let parts = |part: &dyn Fn(&Entry) -> Conditional| singles.iter().map(|single| part(single)).collect::<Vec<_>>();
    if when_busy == WhenBusy::Refuse && entry.mode == Mode::Exclusive {
        let tries =
            parts(&|single| queue::join_if_empty(&shared.range(single), &shared.key(single), record.clone(), lease));
        let tried = send(shared, entry, &tries, false).await?;
        if tried.iter().any(|view| view.own.is_some()) {
            return settle(shared, entry, &singles, tried, when_busy).await;
        }
        let mut looks = singles.iter().zip(&tried);
        if let Some(holder) = looks.find_map(|(single, view)| view.first_other(&shared.range(single), None)) {
            shared.entries.left(entry.number);
            return Ok(Entered::Busy(holder.holder().into()));
        }
        // Only keys of nested locks were shown, and perhaps they hide the holder: join the queues and look.
    }
    let joins =
        parts(&|single| queue::join(&shared.range(single), entry.mode, &shared.key(single), record.clone(), lease));
    let views = send(shared, entry, &joins, is_first && when_busy == WhenBusy::Queue).await?;
    settle(shared, entry, &singles, views, when_busy).await
}

/// Sends these together, and returns what each showed.
async fn send(
    shared: &Shared,
    entry: &Arc<Entry>,
    parts: &[Conditional],
    is_shared: bool,
) -> Result<Vec<QueueView>, Failure> {
    let part = Part::about(&shared.ranges(entry), queue::all(parts)).putting(entry, &shared.entries);
    let client = &shared.client;
    let carried = if is_shared { batch::carry_out(client, part).await } else { batch::alone(client, &part).await };
    let each = carried.map(|carried| queue::each(parts, carried));
    let (first, rest) = match each {
        Ok(mut each) => (Ok(each.remove(0)), each),
        Err(failure) => (Err(failure), Vec::new()),
    };
    let first = noted(shared, entry, first)?;
    Ok(std::iter::once(first).chain(rest.iter().map(queue::view)).collect())
}

/// Whether the entry, which may be in its queues, holds its locks. If it does not, one that does not wait leaves.
async fn settle(
    shared: &Shared,
    entry: &Arc<Entry>,
    singles: &[Arc<Entry>],
    views: Vec<QueueView>,
    when_busy: WhenBusy,
) -> Result<Entered, Error> {
    let own = views[0].own.filter(|own| views.iter().all(|view| view.own == Some(*own)));
    let Some(own) = own else {
        return Err(deleted_while_entering());
    };
    let mut fences = Vec::new();
    for (single, view) in singles.iter().zip(&views) {
        match ahead(shared, single, view, own).await? {
            Some(ahead) if ahead.lets_hold() => fences.push(queue::fence(ahead.revision)),
            None if when_busy == WhenBusy::Refuse => return Err(deleted_while_entering()),
            // If the entry is gone already, `wait_turn` will report it.
            _ => {}
        }
    }
    if fences.len() == singles.len()
        && let Some(grant) = Grant::of_several(fences)
    {
        return Ok(Entered::Held(grant));
    }
    if when_busy == WhenBusy::Queue {
        return Ok(Entered::Queued);
    }
    lapse::leave(shared, entry).await?;
    Ok(Entered::Busy(first_holder(shared, singles).await?.into()))
}

/// The holder of one of the locks, for whom the entry was refused.
async fn first_holder(shared: &Shared, singles: &[Arc<Entry>]) -> Result<Holder, Error> {
    for single in singles {
        let range = shared.range(single);
        let first = shared.client.get(range.start(), &queue::first_records(&range)).await?;
        let view = QueueView { page: queue::keys(&first), ..QueueView::default() };
        if let Some(other) = view.first_other(&range, None) {
            return Ok(other.holder());
        }
    }
    Ok(Holder::unknown())
}

/// Waits until the entry holds each of its locks, and all of them are still there then.
pub(super) async fn wait_turn(shared: &Shared, entry: &Entry) -> Result<Grant, Error> {
    let mut fences = Vec::new();
    for single in singles(entry) {
        fences.push(wait::wait_turn(shared, &single).await?.fence);
    }
    let mut backoff = Backoff::of_stream(&shared.client.world);
    let Some(created) = shared.created(entry) else { return Err(Error::lost(ENTRY_DELETED)) };
    let are_there = loop {
        match are_there(shared, entry, created).await {
            Err(failure) if !failure.verdict.is_permanent() => backoff.wait().await,
            answered => break answered?,
        }
    };
    Grant::of_several(fences).filter(|_| are_there).ok_or_else(|| Error::lost(ENTRY_DELETED))
}

/// Ends when one of its keys was deleted although the entry has not left.
pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    let singles = singles(entry);
    let mut watches: Vec<_> = singles.iter().map(|single| Box::pin(removal::removed(shared, single))).collect();
    poll_fn(|context| {
        let mut polled = watches.iter_mut().map(|watch| watch.as_mut().poll(context));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}
