//! Joining the queue, and whether the lock is held with that.

use super::create::{Joined, create};
use super::entries::{EntryNode, is_entry};
use super::error::{ENTRY_GONE, Failure};
use super::names::{self, QueueNode};
use super::record;
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
        let Joined { node, queue, turn } = join(shared, entry).await?;
        let ahead = first_ahead(shared, entry, &queue, node.sequence, trust).await;
        match (ahead.map_err(|failure| shared.error(failure, entry))?, when_busy) {
            (None, _) => {
                shared.ledger.get(entry.number, |state| state.turn = turn);
                return Ok(Entered::held(node.fence()));
            }
            (Some(_), WhenBusy::Queue) => return Ok(Entered::Queued),
            (Some(first), WhenBusy::Refuse) => match withdraw(shared, entry, &node, &first).await? {
                Ahead::Holds(holder) => return Ok(Entered::Busy(holder.into())),
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

/// What the first node ahead turned out to be.
enum Ahead {
    Holds(Holder),
    HasLeft,
    /// It belongs to no session.
    IsNoEntry,
}

/// Puts the entry into the queue if it is not there.
async fn join(shared: &Shared, entry: &Arc<Entry>) -> Result<Joined, Error> {
    let explain = |failure| shared.error(failure, entry);
    let node = match shared.node(entry) {
        None if shared.ledger.is_unresolved(entry.number) => resolve(shared, entry).await.map_err(explain)?,
        node => node,
    };
    let Some(node) = node else { return create(shared, entry).await };
    let children = match shared.client.current_children(&shared.lock_path(entry)).await {
        Err(failure) if failure.is_no_node() => Vec::new(),
        other => other.map_err(explain)?,
    };
    if !children.contains(&node.name) {
        return Err(Error::lost(ENTRY_GONE));
    }
    Ok(Joined { node, queue: names::queue(&children), turn: None })
}

/// Finds out what became of an unresolved creation: returns the node, or `None` if it was not created.
async fn resolve(shared: &Shared, entry: &Arc<Entry>) -> Result<Option<EntryNode>, Failure> {
    let node = shared.find(entry).await?;
    shared.ledger.update(entry, |state| state.node.clone_from(&node));
    shared.ledger.resolved(entry.number);
    Ok(node)
}

/// The name of the first entry before `sequence`, if there is one.
async fn first_ahead(
    shared: &Shared,
    entry: &Entry,
    queue: &[QueueNode],
    sequence: i32,
    trust: Trust,
) -> Result<Option<String>, Failure> {
    let ahead = || queue.iter().filter(|node| node.is_before(sequence));
    if let Some(certain) = ahead().find(|node| trust == Trust::Names && node.is_named_as_entry) {
        return Ok(Some(certain.name.clone()));
    }
    // Children that end in digits without being named as entries: other locks' nodes, or entries of unknown clients.
    for node in ahead() {
        let path = format!("{}/{}", shared.lock_path(entry), node.name);
        let stat = shared.client.request(|client| async move { client.check_stat(&path).await }).await?;
        if stat.is_some_and(|stat| is_entry(stat.ephemeral_owner)) {
            return Ok(Some(node.name.clone()));
        }
    }
    Ok(None)
}

/// Takes the entry out of the queue again, since it must not wait, and looks who is `first`.
async fn withdraw(shared: &Shared, entry: &Arc<Entry>, node: &EntryNode, first: &str) -> Result<Ahead, Error> {
    let parent = shared.lock_path(entry);
    let (first, own) = (format!("{parent}/{first}"), format!("{parent}/{}", node.name));
    let answers = shared.client.request(|client| async move {
        let (record, deleted) = (client.get_data(&first), client.delete(&own, None));
        Ok((record.await, deleted.await))
    });
    let (record, deleted) = answers.await.map_err(|failure| shared.error(failure, entry))?;
    match deleted {
        Ok(()) | Err(ZkError::NoNode) => {}
        Err(error) => return Err(shared.error(error.into(), entry)),
    }
    shared.ledger.update(entry, |state| state.node = None);
    let holder = match record {
        Ok((_, stat)) if !is_entry(stat.ephemeral_owner) => return Ok(Ahead::IsNoEntry),
        Ok((record, _)) => record::holder(&record),
        Err(ZkError::NoNode) => return Ok(Ahead::HasLeft),
        Err(ZkError::NoAuth) => record::unreadable(),
        Err(error) => return Err(shared.error(error.into(), entry)),
    };
    shared.ledger.left(entry.number);
    Ok(Ahead::Holds(holder))
}
