//! Noticing that an entry is gone although it has not left: a notification or a renewal shows it.

use super::entries::Status;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;

pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    if let Some(mut status) = shared.entries.get(entry.number, |state| state.subscribe()) {
        loop {
            match *status.borrow_and_update() {
                Status::Removed(reason) => return Err(Error::lost(reason)),
                Status::Left => break,
                Status::Sent | Status::Queued { .. } | Status::Held(_) => {}
            }
            if status.changed().await.is_err() {
                break;
            }
        }
    }
    // It has left, so that it cannot be removed any more.
    pending().await
}
