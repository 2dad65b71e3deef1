//! Waiting for one's turn. Whoever releases a lock, or finds its holder's time over, hands it to the first in the queue, who looks
//! whether it is its turn: nobody is notified. One task looks for all that wait by this client (`look`).

use super::entries::Status;
use super::look;
use super::shared::Shared;
use crate::contract::{Entry, Grant};
use crate::values::error::Error;
use std::sync::Arc;

pub(super) async fn wait_turn(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Grant, Error> {
    let unknown = || Error::lost("the entry is not in the queue");
    let mut known = shared.entries.get(entry.number, |state| state.subscribe()).ok_or_else(unknown)?;
    look::begin(&shared.client);
    loop {
        shared.check()?;
        let status = *known.borrow_and_update();
        match status {
            Status::Held(fence) => {
                return shared.entries.get(entry.number, |state| state.grant(fence)).ok_or_else(unknown);
            }
            Status::Removed(reason) => return Err(Error::lost(reason)),
            Status::Left | Status::Lapsing { .. } => return Err(Error::lost("the entry has left the queue")),
            Status::Sent | Status::Queued { .. } => {}
        }
        tokio::select! {
            biased;
            changed = known.changed() => changed.map_err(|_| unknown())?,
            // The session may lapse meanwhile, of which nothing is shown.
            () = tokio::time::sleep(shared.ttl / 2) => {}
        }
    }
}
