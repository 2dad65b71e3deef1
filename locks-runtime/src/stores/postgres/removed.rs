//! Noticing that an entry is gone although it has not left: a renewal shows it, or a look after a notification.

use super::entries::{Known, Status};
use super::error::RELEASED_BY_FORCE;
use super::look::look;
use super::shared::Shared;
use crate::contract::{Backoff, Entry};
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

/// The pauses between looks that notifications ask for, while those turn out to be wrong.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    if let Some(mut known) = shared.entries.get(entry.number, |state| state.subscribe()) {
        let mut backoff = Backoff::new(&shared.client.world, SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut looked = 0;
        loop {
            let Known { status, losses, .. } = *known.borrow_and_update();
            match status {
                Status::Removed(reason) => return Err(Error::lost(reason)),
                Status::Left | Status::Lapsing { .. } => break,
                Status::Held(_) if losses != looked => {
                    looked = losses;
                    // A failure is no matter: the next renewal shows it.
                    if matches!(look(shared, entry).await, Ok(shown) if !matches!(shown.status, Some(Status::Held(_))))
                    {
                        let gone = Status::Removed(RELEASED_BY_FORCE);
                        shared.entries.get(entry.number, |state| state.advance(gone));
                    } else {
                        backoff.wait().await;
                    }
                    continue;
                }
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
