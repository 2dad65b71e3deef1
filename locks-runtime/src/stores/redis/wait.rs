//! Waiting for one's turn. The message that it has come arrives in `subscription`; one that was lost is made up for by
//! `poll`. Both note it in `entries`, which wakes the waiter here.

use super::confirm;
use super::entries::Status;
use super::error;
use super::poll;
use super::reply::QueuePosition;
use super::shared::Shared;
use crate::contract::{Entry, Grant};
use crate::values::error::Error;
use std::sync::Arc;

/// The entry is in the queue: it will be notified of its turn, and polled for.
pub(super) fn queued(shared: &Arc<Shared>, entry: &Entry, position: QueuePosition) {
    poll::start(shared);
    let (world, is_live) = (&shared.client.world, shared.subscription.is_live());
    shared.entries.ledger.get(entry.number, |state| {
        state.note(Status::Queued);
        if state.status() == Status::Queued {
            poll::schedule(world, state, position, is_live, 1);
        }
    });
    shared.entries.wake();
}

pub(super) async fn wait_turn(shared: &Shared, entry: &Entry) -> Result<Grant, Error> {
    shared.check()?;
    let status = shared.entries.subscribe(entry.number);
    let Some(mut status) = status else { return Err(Error::lost(error::NOT_QUEUED)) };
    let is_decided = |status: &Status| !matches!(status, Status::Requested | Status::Queued);
    let decided = status.wait_for(is_decided).await.map(|status| *status);
    match decided {
        Ok(Status::Held(fence)) => {
            if !confirm::confirm(shared, entry).await? {
                return Err(Error::lost(error::ENTRY_GONE));
            }
            let known = shared.entries.ledger.get(entry.number, |state| state.grant()).flatten();
            Ok(known.unwrap_or_else(|| Grant::new(fence)))
        }
        Ok(Status::Leaving | Status::Lapsing) => Err(Error::lost(error::WITHDRAWN)),
        Ok(_) => Err(Error::lost(error::ENTRY_GONE)),
        // It left, or the session was closed.
        Err(_) => Err(Error::lost(error::WITHDRAWN)),
    }
}
