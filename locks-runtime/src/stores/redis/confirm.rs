//! What somebody else has granted to this client has to be on [replicas](super::replicas), too.

use super::entries::Status;
use super::renew;
use super::reply::Renewed;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;

/// Returns whether the entry holds. What was granted by whoever had the lock before has to be on replicas, too: written by this
/// client once more, it is behind that. A server that has not heard of the grant, after a failover, does not show it as held.
pub(super) async fn confirm(shared: &Shared, entry: &Entry) -> Result<bool, Error> {
    if shared.client.config.wait_replicas == 0 {
        return Ok(true);
    }
    let is_held = renew::confirm(shared, entry).await? == Renewed::Held;
    if !is_held {
        shared.entries.note(entry.number, Status::Gone);
    }
    Ok(is_held)
}
