//! Joining the queue, and whether the lock is held with that.

use super::create::{Joined, create};
use super::deletion;
use super::entries::{EntryNodes, is_entry};
use super::error::{Failure, deleted_while_entering};
use super::queue::{self, QueueNode};
use super::record;
use super::several;
use super::shared::Shared;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::sync::Arc;
use zookeeper_client::Error as ZkError;

/// How often the attempt is repeated when the entry ahead leaves while a try is refused because of it.
const ROUNDS: u32 = 5;

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    let mut trust = Trust::Names;
    for _ in 0..ROUNDS {
        let Joined { nodes, queues, turn } = join(shared, entry).await?;
        let position = look(shared, entry, &nodes, queues, trust).await;
        match (position.map_err(|failure| shared.error(failure, entry))?, when_busy) {
            (Position::Alone, _) => {
                shared.ledger.get(entry.number, |state| state.turn = turn);
                return Ok(Entered::Held(nodes.grant()));
            }
            (Position::Beside, _) => return Ok(Entered::Held(nodes.grant())),
            (Position::Behind(_), WhenBusy::Queue) => return Ok(Entered::Queued),
            (Position::Behind(others), WhenBusy::Refuse) => match withdraw(shared, entry, &nodes, &others).await? {
                Ahead::Holds(holder) => return Ok(Entered::Busy(holder)),
                Ahead::HasLeft => {}
                Ahead::IsNoEntry => trust = Trust::Owners,
            },
        }
    }
    // Each time the lock was held, by an entry that left before its record could be read.
    shared.ledger.left(entry.number);
    Ok(Entered::Busy(Holder::unknown_because("it released the lock before its record could be read").into()))
}

/// By what a node in the queue is known to be an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// By its name, if it is one that entries have: that costs no request.
    Names,
    /// By its owner: something is named like an entry and is none.
    Owners,
}

/// Where the entry is in its queues.
enum Position {
    /// It holds, and nobody is ahead.
    Alone,
    /// It holds, and others may hold too.
    Beside,
    /// Somebody is in its way.
    Behind(Others),
}

/// The paths of nodes ahead.
struct Others {
    /// The first one, which holds the lock.
    first: String,
    /// The one in the way, if that is another one: a waiter.
    in_the_way: Option<String>,
}

/// What the node in the way turned out to be.
enum Ahead {
    Holds(Arc<Holder>),
    HasLeft,
    /// It belongs to no session.
    IsNoEntry,
}

/// Puts the entry into its queues if it is not there.
async fn join(shared: &Shared, entry: &Arc<Entry>) -> Result<Joined, Error> {
    let explain = |failure| shared.error(failure, entry);
    let nodes = match shared.nodes(entry) {
        None if shared.ledger.is_unresolved(entry.number) => resolve(shared, entry).await?,
        nodes => nodes,
    };
    let Some(nodes) = nodes else {
        return if entry.others.is_empty() {
            create(shared, entry).await
        } else {
            several::create(shared, entry).await
        };
    };
    let mut queues = Vec::new();
    for (key, node) in entry.keys().zip(nodes.iter()) {
        let children = match shared.client.current_children(&shared.path(key)).await {
            Err(failure) if failure.is_no_node() => Vec::new(),
            other => other.map_err(explain)?,
        };
        if !children.contains(&node.name) {
            return Err(deleted_while_entering());
        }
        queues.push(queue::queue(&children));
    }
    Ok(Joined { nodes, queues, turn: None })
}

/// Finds out what became of an unresolved creation: returns the nodes, or `None` if they were not created.
async fn resolve(shared: &Shared, entry: &Arc<Entry>) -> Result<Option<EntryNodes>, Error> {
    let found = shared.find(entry).await.map_err(|failure| shared.error(failure, entry))?;
    let is_there = found.iter().any(Option::is_some);
    let nodes: Option<Vec<_>> = found.into_iter().collect();
    if is_there && nodes.is_none() {
        // Of several some were deleted by others.
        return Err(deleted_while_entering());
    }
    let nodes = nodes.and_then(EntryNodes::of_several);
    shared.ledger.update(entry, |state| state.nodes.clone_from(&nodes));
    shared.ledger.resolved(entry.number);
    Ok(nodes)
}

/// Looks where the entry is in these queues.
async fn look(
    shared: &Shared,
    entry: &Entry,
    nodes: &EntryNodes,
    queues: Vec<Vec<QueueNode>>,
    trust: Trust,
) -> Result<Position, Failure> {
    let mut is_alone = true;
    for ((key, node), queue) in entry.keys().zip(nodes.iter()).zip(queues) {
        let mut ahead = queue::ahead_of(node, queue);
        if let Some(other) = ahead.iter().find(|node| node.may_not_know(shared.config().layout)) {
            shared.client.warn_of_layouts(&shared.path(key), &other.name);
        }
        while let Some(in_the_way) = queue::first_in_the_way(entry.mode, &ahead) {
            let parent = shared.path(key);
            // Who is in the way may be a waiter itself: whoever is first holds the lock.
            let first = queue::first(&ahead).unwrap_or(in_the_way);
            match no_entry(shared, &parent, [in_the_way, first], trust).await? {
                None => {
                    let path = |node: &QueueNode| format!("{parent}/{}", node.name);
                    let in_the_way = (in_the_way != first).then(|| path(in_the_way));
                    return Ok(Position::Behind(Others { first: path(first), in_the_way }));
                }
                Some(name) => ahead.retain(|node| node.name != name),
            }
        }
        is_alone &= ahead.is_empty();
    }
    Ok(if is_alone { Position::Alone } else { Position::Beside })
}

/// The name of one of these nodes that is no entry, or not there any more. Children that end in digits may be other locks' nodes,
/// or entries of unknown clients.
async fn no_entry(
    shared: &Shared,
    parent: &str,
    nodes: [&QueueNode; 2],
    trust: Trust,
) -> Result<Option<String>, Failure> {
    for node in nodes.into_iter().filter(|node| trust == Trust::Owners || !node.is_named_as_entry()) {
        let path = format!("{parent}/{}", node.name);
        let stat = shared.client.request(|client| async move { client.check_stat(&path).await }).await?;
        if !stat.is_some_and(|stat| is_entry(stat.ephemeral_owner)) {
            return Ok(Some(node.name.clone()));
        }
    }
    Ok(None)
}

/// Takes the entry out of its queues again, since it must not wait, and looks who is in the way.
async fn withdraw(shared: &Shared, entry: &Arc<Entry>, nodes: &EntryNodes, others: &Others) -> Result<Ahead, Error> {
    let own: Vec<String> = shared.paths(entry, nodes).collect();
    let answers = shared.client.request(|client| {
        let own = &own;
        async move {
            let record = client.get_data(&others.first);
            let in_the_way = others.in_the_way.as_ref().map(|path| client.check_stat(path));
            let deleted = deletion::send(&client, own);
            let record = record.await;
            let in_the_way = if let Some(stat) = in_the_way { Some(stat.await) } else { None };
            Ok((record, in_the_way, deleted.await))
        }
    });
    let (record, in_the_way, deleted) = answers.await.map_err(|failure| shared.error(failure, entry))?;
    match deleted {
        Ok(()) => {}
        // One of several was deleted by others.
        Err(ZkError::NoNode) => {
            deletion::delete(&shared.client, &own).await.map_err(|failure| shared.error(failure, entry))?
        }
        Err(error) => return Err(shared.error(error.into(), entry)),
    }
    shared.ledger.update(entry, |state| state.nodes = None);
    let holder = match record {
        Ok((_, stat)) if !is_entry(stat.ephemeral_owner) => return Ok(Ahead::IsNoEntry),
        Ok((record, _)) => record::holder(&record),
        Err(ZkError::NoNode) => return Ok(Ahead::HasLeft),
        Err(ZkError::NoAuth) => record::unreadable(),
        Err(error) => return Err(shared.error(error.into(), entry)),
    };
    match in_the_way {
        Some(Ok(None)) => return Ok(Ahead::HasLeft),
        Some(Ok(Some(stat))) if !is_entry(stat.ephemeral_owner) => return Ok(Ahead::IsNoEntry),
        // Where the owner may not be seen, the name decides.
        _ => {}
    }
    shared.ledger.left(entry.number);
    Ok(Ahead::Holds(holder.into()))
}
