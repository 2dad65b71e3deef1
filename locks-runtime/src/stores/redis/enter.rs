//! Entering the queue, in one request, which may be that of others too.

use super::batch;
use super::confirm;
use super::connect::milliseconds;
use super::entries::Status;
use super::error;
use super::part::{Part, Work};
use super::reply::{self, EntryReply};
use super::shared::Shared;
use super::slots;
use super::wait;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use redis::Value;
use std::sync::Arc;

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let locks = locks(shared, entry)?;
    let lock = locks[0].clone();
    match shared.entries.status(entry.number) {
        Some(Status::Gone) => return Err(error::deleted_while_entering()),
        Some(Status::Leaving | Status::Lapsing) => return Err(Error::unavailable(error::WITHDRAWN)),
        _ => {}
    }
    let value = request(shared, entry, locks, when_busy).await?;
    match reply::entry(&value)? {
        EntryReply::Held(grant) => {
            let first = shared.entries.ledger.get(entry.number, |state| {
                state.note_held(&grant);
                state.is_unqueued = true;
                state.grant()
            });
            // If the server has forgotten its fence, it makes another one when it is asked again.
            Ok(Entered::Held(first.flatten().unwrap_or(grant)))
        }
        EntryReply::Busy(busy) => {
            shared.entries.ledger.left(entry.number);
            Ok(Entered::Busy(busy.holder(&lock).unwrap_or_default().into()))
        }
        EntryReply::Gone => Err(error::deleted_while_entering()),
        EntryReply::Queued(position) => {
            wait::queued(shared, entry, position);
            // The reply to a poll, that it was granted, may have come before this one.
            match shared.entries.ledger.get(entry.number, |state| state.grant()).flatten() {
                Some(grant) if confirm::confirm(shared, entry).await? => Ok(Entered::Held(grant)),
                Some(_) => Err(error::deleted_while_entering()),
                None => Ok(Entered::Queued),
            }
        }
    }
}

/// The names of the entry's locks. A server in cluster mode does nothing at one moment to locks of several slots.
fn locks(shared: &Shared, entry: &Entry) -> Result<Vec<String>, Error> {
    let locks = shared.locks(entry)?;
    let slot = slots::slot(&locks[0]);
    match locks.iter().zip(entry.keys()).find(|(lock, _)| slots::slot(lock) != slot) {
        Some((_, other)) if shared.client.is_by_slot() => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "Redis is in cluster mode, and locks that are acquired at one moment have to be in one slot, but {:?} is not in \
                 that of {:?}; give the keys of one call a hash tag in common, as in `{{accounts}}/1` and `{{accounts}}/2`, or \
                 the namespace one",
                other.as_str(),
                entry.key.as_str(),
            ),
        )
        .with_key(&entry.key)),
        _ => Ok(locks),
    }
}

/// The entry is in the ledger before the request is sent, or waits for others, so that every renewal from then on covers it.
async fn request(shared: &Shared, entry: &Arc<Entry>, locks: Vec<String>, when_busy: WhenBusy) -> Result<Value, Error> {
    let when_busy = match when_busy {
        WhenBusy::Refuse => "refuse",
        WhenBusy::Queue => "queue",
    };
    let (ttl, token, record) = (milliseconds(shared.ttl), shared.token(entry), entry.holder.to_json());
    let work = Work::Acquire { ttl, token, record, when_busy };
    let ledger = &shared.entries.ledger;
    ledger.sent(entry);
    let response = batch::carry_out(&shared.client, Part::new(locks, work)).await;
    if !response.is_unresolved {
        ledger.resolved(entry.number);
    }
    if let Err(error) = &response.result
        && error.kind() != ErrorKind::Unavailable
    {
        // The server refused it.
        if ledger.forget_if(entry.number, |state| state.status() == Status::Requested) {
            entry.keys().for_each(|key| entry.note_left(key));
        }
    }
    response.result
}
