//! Waiting for one's turn by watching the entry directly ahead: no other waiter is woken when it leaves.

use super::entries::{EntryNode, is_entry};
use super::error::{ENTRY_GONE, Failure};
use super::names;
use super::node_watch::{self, Changed};
use super::shared::Shared;
use crate::contract::{Backoff, Entry, Grant};
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::future::pending;
use std::sync::Arc;

/// Where the entry is in the queue.
enum Position {
    First,
    Gone,
    Behind(Predecessor),
    /// The store does not answer: look again in a moment.
    Unknown,
}

/// The entry directly ahead, and the watch on its node if there is one.
struct Predecessor {
    name: String,
    changed: Option<Changed>,
}

pub(super) async fn wait_turn(shared: &Arc<Shared>, entry: &Entry) -> Result<Grant, Error> {
    let known = shared.ledger.get(entry.number, |state| Some((state.node.clone()?, Arc::clone(&state.leaves))));
    let Some((node, leaves)) = known.flatten() else { return Err(Error::lost("the entry is not in the queue")) };
    let (mut backoff, mut watched) = (Backoff::of_stream(shared.world()), None);
    loop {
        match look(shared, entry, &node, watched.take()).await? {
            Position::First => return Ok(Grant::new(node.fence())),
            Position::Gone => return Err(Error::lost(ENTRY_GONE)),
            Position::Behind(predecessor) => {
                tokio::select! {
                    biased;
                    () = leaves.notified() => {}
                    still_there = wait_for_change(shared, predecessor) => watched = still_there,
                }
            }
            Position::Unknown => backoff.wait().await,
        }
    }
}

/// Waits until the predecessor leaves, or until a look is due: then its watch is returned.
async fn wait_for_change(shared: &Shared, mut predecessor: Predecessor) -> Option<Predecessor> {
    let due = tokio::time::sleep(shared.world().between(shared.ttl / 4, shared.ttl / 3));
    let changed = async {
        match &mut predecessor.changed {
            Some(changed) => changed.await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = changed => None,
        () = shared.client.closing() => None,
        () = due => Some(predecessor),
    }
}

/// As [`position`], which is unknown while the store does not answer: a waiter can wait for that too.
async fn look(
    shared: &Arc<Shared>,
    entry: &Entry,
    node: &EntryNode,
    watched: Option<Predecessor>,
) -> Result<Position, Error> {
    match position(shared, entry, node, watched).await {
        Ok(position) => Ok(position),
        Err(failure) if failure.is_temporary() => {
            tracing::debug!(target: TARGET, ?failure, "waiting for a lock although ZooKeeper does not answer");
            Ok(Position::Unknown)
        }
        Err(failure) => Err(shared.error(failure, entry)),
    }
}

/// Lists the queue, and watches the predecessor unless it is `watched` already.
async fn position(
    shared: &Arc<Shared>,
    entry: &Entry,
    node: &EntryNode,
    mut watched: Option<Predecessor>,
) -> Result<Position, Failure> {
    let parent = shared.lock_path(entry);
    let listed = shared.client.request(|client| {
        let parent = parent.clone();
        async move { client.list_children(&parent).await }
    });
    let children = match listed.await {
        Err(failure) if failure.is_no_node() => return Ok(Position::Gone),
        other => other?,
    };
    if shared.ledger.is_leaving(entry.number) || !children.contains(&node.name) {
        return Ok(Position::Gone);
    }
    let queue = names::queue(&children);
    // The nearest first; if that one has left since the list was made, the next one is the nearest.
    for ahead in queue.into_iter().filter(|ahead| ahead.is_before(node.sequence)).rev() {
        if let Some(watched) = watched.take_if(|watched| watched.changed.is_some() && watched.name == ahead.name) {
            return Ok(Position::Behind(watched));
        }
        match node_watch::watch(shared, format!("{parent}/{}", ahead.name)).await {
            Ok((owner, changed)) if is_entry(owner) => {
                return Ok(Position::Behind(Predecessor { name: ahead.name, changed }));
            }
            // The node of another lock, whose name ends in digits.
            Ok(_) => {}
            Err(failure) if failure.is_no_node() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Position::First)
}
