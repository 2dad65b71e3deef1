//! Early notice that an entry was removed by others. The session's deadline does not depend on it.

use super::error::ENTRY_GONE;
use super::node_watch;
use super::shared::Shared;
use crate::contract::{Backoff, Entry};
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

/// Ends when the entry's node was deleted although the entry has not left.
pub(super) async fn removed(shared: &Arc<Shared>, entry: &Entry) -> Result<Infallible, Error> {
    if was_removed(shared, entry).await { Err(Error::lost(ENTRY_GONE)) } else { pending().await }
}

/// Watches the entry's node: whether it was deleted by others. `false` if that cannot be known any more.
async fn was_removed(shared: &Arc<Shared>, entry: &Entry) -> bool {
    let Some(node) = shared.node(entry) else { return false };
    let path = format!("{}/{}", shared.lock_path(entry), node.name);
    let world = shared.world();
    let mut backoff = Backoff::of_stream(world);
    loop {
        match node_watch::watch(shared, path.clone()).await {
            // Another client's, in its place.
            Ok((owner, _)) if !shared.owns(entry, owner) => return !shared.ledger.is_leaving(entry.number),
            // A node that is moved to another session changes too, and is still there.
            Ok((_, Some(changed))) => changed.await,
            Ok((_, None)) => tokio::time::sleep(world.between(shared.ttl / 4, shared.ttl / 3)).await,
            Err(failure) if failure.is_no_node() => return !shared.ledger.is_leaving(entry.number),
            Err(failure) if failure.is_temporary() => backoff.wait().await,
            // The renewal reports what became of the session.
            Err(_) => return false,
        }
    }
}
