//! Waiting for one's turn by watching what is in the way, and nothing else: the entry directly ahead, of a reader's the nearest
//! that is no reader, and of a permit's as many as there are permits. Nobody else is woken when one of them leaves. Where that are
//! many, the whole queue is watched instead.

use super::entries::{EntryNode, EntryNodes, is_entry};
use super::error::{ENTRY_GONE, Failure};
use super::node_watch::{self, Changed};
use super::queue;
use super::shared::Shared;
use crate::contract::{Backoff, Entry, Grant};
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

/// For more entries in the way than these a queue is watched as a whole: that wakes whoever waits at each change, and costs one
/// request, where each watch on a node costs one to make it and one to remove it.
const MOST_WATCHES: usize = 32;

/// Where the entry is in its queues.
enum Position {
    /// It holds.
    First,
    Gone,
    /// Behind these, all of the same queue: it does not hold as long as all of them are there.
    Behind(Vec<InTheWay>),
    /// The store does not answer: look again in a moment.
    Unknown,
}

/// An entry in the way, and the watch on its node if there is one; or all of a queue.
struct InTheWay {
    /// The node's.
    path: String,
    changed: Option<Changed>,
}

pub(super) async fn wait_turn(shared: &Arc<Shared>, entry: &Entry) -> Result<Grant, Error> {
    let known = shared.ledger.get(entry.number, |state| Some((state.nodes.clone()?, Arc::clone(&state.leaves))));
    let Some((nodes, leaves)) = known.flatten() else { return Err(Error::lost("the entry is not in the queue")) };
    let (mut backoff, mut watched) = (Backoff::of_stream(shared.world()), Vec::new());
    loop {
        match look(shared, entry, &nodes, std::mem::take(&mut watched)).await? {
            Position::First => return Ok(nodes.grant()),
            Position::Gone => return Err(Error::lost(ENTRY_GONE)),
            Position::Behind(those) => {
                tokio::select! {
                    biased;
                    () = leaves.notified() => {}
                    rest = wait_for_change(shared, those) => watched = rest,
                }
            }
            Position::Unknown => backoff.wait().await,
        }
    }
}

/// Waits until one of those leaves, or until a look is due: returns the others, whose watches go on.
async fn wait_for_change(shared: &Shared, mut those: Vec<InTheWay>) -> Vec<InTheWay> {
    let due = tokio::time::sleep(shared.world().between(shared.ttl / 4, shared.ttl / 3));
    tokio::select! {
        biased;
        () = any_change(&mut those) => {}
        () = shared.client.closing() => those.clear(),
        () = due => {}
    }
    those
}

/// Ends when one of the watches has ended, which is removed.
async fn any_change(those: &mut Vec<InTheWay>) {
    poll_fn(|context| {
        let has_changed =
            |one: &mut InTheWay| one.changed.as_mut().is_some_and(|changed| changed.as_mut().poll(context).is_ready());
        match those.iter_mut().position(has_changed) {
            Some(at) => {
                those.swap_remove(at);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    })
    .await;
}

/// As [`position`], which is unknown while the store does not answer: a waiter can wait for that too.
async fn look(
    shared: &Arc<Shared>,
    entry: &Entry,
    nodes: &EntryNodes,
    watched: Vec<InTheWay>,
) -> Result<Position, Error> {
    match position(shared, entry, nodes, watched).await {
        Ok(position) => Ok(position),
        Err(failure) if failure.is_temporary() => {
            tracing::debug!(target: TARGET, ?failure, "waiting for a lock although ZooKeeper does not answer");
            Ok(Position::Unknown)
        }
        Err(failure) => Err(shared.error(failure, entry)),
    }
}

/// Lists the queues, and watches what is in the way in the first of them in which something is, unless it is `watched` already.
async fn position(
    shared: &Arc<Shared>,
    entry: &Entry,
    nodes: &EntryNodes,
    mut watched: Vec<InTheWay>,
) -> Result<Position, Failure> {
    for (parent, own) in entry.keys().map(|key| shared.path(key)).zip(nodes.iter()) {
        let listed = shared.client.request(|client| {
            let parent = parent.clone();
            async move { client.list_children(&parent).await }
        });
        let children = match listed.await {
            Err(failure) if failure.is_no_node() => return Ok(Position::Gone),
            other => other?,
        };
        if shared.ledger.is_leaving(entry.number) || !children.contains(&own.name) {
            return Ok(Position::Gone);
        }
        let those = in_the_way(shared, entry, &parent, own, &children, &mut watched).await?;
        if !those.is_empty() {
            return Ok(Position::Behind(those));
        }
    }
    Ok(Position::First)
}

/// What is in the way among these children, each with its watch. Whatever has left since they were listed is not.
async fn in_the_way(
    shared: &Arc<Shared>,
    entry: &Entry,
    parent: &str,
    own: &EntryNode,
    children: &[String],
    watched: &mut Vec<InTheWay>,
) -> Result<Vec<InTheWay>, Failure> {
    let mut ahead = queue::ahead_of(own, queue::queue(children));
    loop {
        let those = queue::in_the_way(entry.mode, &ahead);
        if those.len() > MOST_WATCHES {
            let (children, changed) = node_watch::children(shared, parent).await?;
            ahead = queue::ahead_of(own, queue::queue(&children));
            if queue::in_the_way(entry.mode, &ahead).len() > MOST_WATCHES {
                return Ok(vec![InTheWay { path: parent.to_owned(), changed }]);
            }
            continue;
        }
        let names: Vec<String> = those.iter().map(|node| node.name.clone()).collect();
        let mut those = Vec::with_capacity(names.len());
        let mut looks = Vec::new();
        for name in &names {
            let path = format!("{parent}/{name}");
            match watched.iter().position(|one| one.changed.is_some() && one.path == path) {
                Some(at) => those.push(watched.swap_remove(at)),
                None => looks.push((name, path)),
            }
        }
        let answers = all(looks.iter().map(|(_, path)| node_watch::watch(shared, path.clone()))).await;
        let mut gone = Vec::new();
        for ((name, path), answer) in looks.into_iter().zip(answers) {
            match answer {
                Ok((owner, changed)) if is_entry(owner) => those.push(InTheWay { path, changed }),
                // The node of another lock, whose name ends in digits.
                Ok(_) => gone.push(name),
                Err(failure) if failure.is_no_node() => gone.push(name),
                Err(failure) => return Err(failure),
            }
        }
        if gone.is_empty() {
            return Ok(those);
        }
        ahead.retain(|node| !gone.contains(&&node.name));
        watched.append(&mut those);
    }
}

/// The results of all of them, which run beside each other.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_done = true;
        for (future, result) in running.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *result = Some(value),
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
