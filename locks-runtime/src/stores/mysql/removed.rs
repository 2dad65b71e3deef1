//! Noticing that an entry is gone although it has not left: a renewal shows it, or what this client does itself. Nothing is asked for
//! it: the server notifies nobody.

use super::entries::Status;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;

pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    if let Some(mut known) = shared.entries.get(entry.number, |state| state.subscribe()) {
        loop {
            match *known.borrow_and_update() {
                Status::Removed(reason) => return Err(Error::lost(reason)),
                Status::Left | Status::Lapsing { .. } => break,
                Status::Sent | Status::Queued { .. } | Status::Held(_) => {}
            }
            if known.changed().await.is_err() {
                break;
            }
        }
    }
    // It has left, so that it cannot be removed any more.
    pending().await
}
