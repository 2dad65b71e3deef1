//! Waiting for one's turn by watching the one ahead: nobody else is woken when it leaves.

use super::enter::{is_entry, number};
use super::link::Trouble;
use super::names;
use super::session::{Node, Shared};
use super::watched::{self, Told};
use crate::contract::Entry;
use crate::contract::pause::Pause;
use crate::values::error::Error;
use crate::world::random;
use std::future::pending;
use std::sync::Arc;

/// How a hold ends that was not given back.
pub(super) const DELETED: &str = "the entry was deleted in ZooKeeper: somebody removed it, or its session ended";

/// Where the entry stands.
enum Position {
    Held(i64),
    Gone,
    Behind(Ahead),
    /// Nobody answers: look again in a moment.
    Unclear,
}

/// The one ahead, and the watch for its end.
struct Ahead {
    name: String,
    told: Option<Told>,
}

pub(super) async fn turn(shared: &Arc<Shared>, entry: &Entry) -> Result<u64, Error> {
    let known = shared.known(entry, |slot| Some((slot.node.clone()?, slot.left.clone())));
    let Some((node, left)) = known else { return Err(Error::lost("the entry is not in line")) };
    let (mut pause, mut before) = (Pause::default(), None);
    loop {
        match look(shared, entry, &node, before.take()).await? {
            Position::Held(created) => return Ok(number(created)),
            Position::Gone => return Err(Error::lost(DELETED)),
            Position::Behind(ahead) => {
                tokio::select! {
                    still = wait(shared, ahead) => before = still,
                    () = left.notified() => {}
                }
            }
            Position::Unclear => pause.wait().await,
        }
    }
}

/// Waits until the one ahead leaves, or until a look is due, and then gives the watch back.
async fn wait(shared: &Shared, mut ahead: Ahead) -> Option<Ahead> {
    let due = tokio::time::sleep(random::between(shared.ttl / 4, shared.ttl / 3));
    let told = async {
        match &mut ahead.told {
            Some(told) => told.await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = told => None,
        () = shared.link.ended() => None,
        () = due => Some(ahead),
    }
}

/// For who can wait: a store that does not answer leaves the position unclear.
async fn look(shared: &Arc<Shared>, entry: &Entry, node: &Node, before: Option<Ahead>) -> Result<Position, Error> {
    match position(shared, entry, node, before).await {
        Ok(position) => Ok(position),
        Err(trouble) if trouble.is_passing(shared.config()) => {
            tracing::debug!(?trouble, "waiting for a lock although ZooKeeper does not answer");
            Ok(Position::Unclear)
        }
        Err(trouble) => Err(shared.error(trouble, entry)),
    }
}

async fn position(
    shared: &Arc<Shared>,
    entry: &Entry,
    node: &Node,
    mut before: Option<Ahead>,
) -> Result<Position, Trouble> {
    let parent = shared.parent(entry);
    let listed = shared.link.ask(|client| {
        let parent = parent.clone();
        async move { client.list_children(&parent).await }
    });
    let children = match listed.await {
        Err(trouble) if trouble.is_no_node() => return Ok(Position::Gone),
        other => other?,
    };
    let leaving = shared.known(entry, |slot| Some(slot.leaving)).unwrap_or(true);
    if leaving || !children.contains(&node.name) {
        return Ok(Position::Gone);
    }
    let line = names::line(&children);
    // The nearest first; if one has left since the list was made, the next one is the nearest.
    for place in line.into_iter().filter(|place| place.is_before(node.sequence)).rev() {
        if let Some(before) = before.take_if(|before| before.told.is_some() && before.name == place.name) {
            return Ok(Position::Behind(before));
        }
        match watched::watch(shared, format!("{parent}/{}", place.name)).await {
            Ok((owner, told)) if is_entry(owner) => return Ok(Position::Behind(Ahead { name: place.name, told })),
            // The node of another lock, whose name ends in digits.
            Ok(_) => {}
            Err(trouble) if trouble.is_no_node() => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(Position::Held(node.created))
}
