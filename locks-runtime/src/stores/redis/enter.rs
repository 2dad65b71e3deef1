//! Entering the queue, in one request, which may be that of others too.

use super::batch;
use super::client::milliseconds;
use super::entries::Status;
use super::error;
use super::names;
use super::part::{Part, Work};
use super::reply::{self, EntryReply};
use super::shared::Shared;
use super::wait;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use redis::Value;
use std::sync::Arc;

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let lock = shared.lock(entry)?;
    match shared.entries.status(entry.number) {
        Some(Status::Gone) => return Err(Error::lost(error::ENTRY_GONE)),
        Some(Status::Leaving | Status::Lapsing) => return Err(Error::lost(error::WITHDRAWN)),
        _ => {}
    }
    let value = request(shared, entry, lock.clone(), when_busy).await?;
    match reply::entry(&value)? {
        EntryReply::Held(fence) => {
            shared.entries.ledger.get(entry.number, |state| {
                state.note(Status::Held(fence));
                state.is_unqueued = true;
            });
            // Of a hold in one piece the server does not know the fence, and makes another one when it is asked again.
            match shared.entries.status(entry.number) {
                Some(Status::Held(first)) => Ok(Entered::held(first)),
                _ => Ok(Entered::held(fence)),
            }
        }
        EntryReply::Busy(busy) => {
            shared.entries.ledger.left(entry.number);
            Ok(Entered::Busy(busy.holder(&lock).unwrap_or_default().into()))
        }
        EntryReply::Gone => Err(Error::lost(error::ENTRY_GONE)),
        EntryReply::Queued(position) => {
            wait::queued(shared, entry, position);
            // The reply to a poll, that it was granted, may have come before this one.
            match shared.entries.status(entry.number) {
                Some(Status::Held(fence)) => Ok(Entered::held(fence)),
                _ => Ok(Entered::Queued),
            }
        }
    }
}

/// The entry is in the ledger before the request is sent, or waits for others, so that every renewal from then on covers it.
async fn request(shared: &Shared, entry: &Arc<Entry>, lock: String, when_busy: WhenBusy) -> Result<Value, Error> {
    let when_busy = match when_busy {
        WhenBusy::Refuse => "refuse",
        WhenBusy::Queue => "queue",
    };
    let value = names::value(&shared.token(entry), &entry.holder.to_json());
    let work = Work::Acquire { ttl: milliseconds(shared.ttl), value, when_busy };
    let ledger = &shared.entries.ledger;
    ledger.sent(entry);
    let response = batch::carry_out(&shared.client, Part { lock, work }).await;
    if !response.is_unresolved {
        ledger.resolved(entry.number);
    }
    if let Err(error) = &response.result
        && error.kind() != ErrorKind::Unavailable
    {
        // The server refused it.
        ledger.forget_if(entry.number, |state| state.status() == Status::Requested);
    }
    response.result
}
