//! Reading locks and queues from the store, and releasing a lock by force.

use super::client::{Client, Purpose};
use super::config::Config;
use super::entries::is_entry;
use super::error::Failure;
use super::names;
use super::queue::{self, QueueNode};
use super::record;
use crate::contract::{Line, Listed, Scope, Seen};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use zookeeper_client::{Client as ZkClient, Error as ZkError, Stat};

/// How many requests are under way at once.
const AT_ONCE: usize = 64;

/// How long the servers keep a session that has no entries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An entry in a queue, with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueuedEntry {
    pub(super) node: QueueNode,
    pub(super) holder: Holder,
    /// The fencing number, where the node may be read.
    fence: Option<u64>,
    /// All locks of an entry of several.
    keys: Vec<Key>,
}

/// Which entries of a queue hold its lock, as far as that queue is concerned.
fn hold(queue: &[QueuedEntry]) -> Vec<bool> {
    queue::hold(queue.iter().map(|entry| entry.node.mode))
}

/// The entries of a queue that hold its lock as far as that queue is concerned, in order.
pub(super) fn holders(queue: &[QueuedEntry]) -> impl Iterator<Item = &QueuedEntry> {
    queue.iter().zip(hold(queue)).filter_map(|(entry, holds)| holds.then_some(entry))
}

/// Who holds the lock of a queue, each by the name of its node, and who waits for it.
pub(super) fn seen(queue: &[QueuedEntry]) -> Seen<String> {
    let mut seen = Seen::default();
    for (entry, holds) in queue.iter().zip(hold(queue)) {
        match holds {
            true => seen.holds.push((entry.node.name.clone(), entry.holder.clone())),
            false => seen.waiters.push(entry.holder.clone()),
        }
    }
    seen
}

/// The queues in a scope, each in order.
pub(super) type Queues = BTreeMap<Key, Vec<QueuedEntry>>;

/// A node that is a lock's, or may be.
struct Candidate {
    node: String,
    /// The prefix of the keys of the nodes below; `None` at the root.
    prefix: Option<String>,
}

/// Opens a session for requests that no session of the caller's is there for.
pub(super) async fn open(config: &Arc<Config>, world: &World) -> Result<Client, Error> {
    Client::open(Arc::clone(config), world.clone(), Arc::default(), TIMEOUT, Purpose::Requests).await
}

pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    let explain = |failure| client.error(failure, &top(&client.config, scope).node);
    let lines = async {
        let queues = read(client, scope).await?;
        let others = others(client, &queues).await?;
        let mut lines = Vec::new();
        for (key, queue) in &queues {
            let (mut holders, mut waiters) = (Vec::new(), Vec::new());
            for (entry, holds) in queue.iter().zip(hold(queue)) {
                let listed = Listed::from(entry.holder.clone());
                if holds && holds_elsewhere(entry, &queues, &others) {
                    holders.push(Listed { fence: entry.fence, ..listed });
                } else {
                    waiters.push(listed);
                }
            }
            lines.push(Line::new(key.clone(), holders, waiters));
        }
        Ok(lines)
    };
    lines.await.map_err(explain)
}

/// The queues that are not among those, and in which an entry of several locks may wait that is first in one of those.
async fn others(client: &Client, queues: &Queues) -> Result<Queues, Failure> {
    let mut others = Queues::new();
    for key in queues.values().flat_map(|queue| holders(queue)).flat_map(|entry| &entry.keys) {
        if !queues.contains_key(key) && !others.contains_key(key) {
            let found = read(client, &Scope::Key(key.clone())).await?.remove(key);
            others.insert(key.clone(), found.unwrap_or_default());
        }
    }
    Ok(others)
}

/// Whether an entry that is first in one queue is so in all of its others. One that was taken away there holds no more, and is in
/// the way here until its owner knows it.
fn holds_elsewhere(entry: &QueuedEntry, queues: &Queues, others: &Queues) -> bool {
    let is_it = |other: &&QueuedEntry| other.node.id() == entry.node.id();
    entry.keys.iter().all(|key| {
        let queue = queues.get(key).or_else(|| others.get(key)).map_or(&[] as &[_], Vec::as_slice);
        queue.iter().find(is_it).is_none() || holders(queue).find(is_it).is_some()
    })
}

/// Reads every queue in the scope.
pub(super) async fn read(client: &Client, scope: &Scope) -> Result<Queues, Failure> {
    let mut queues = Queues::new();
    let mut candidates = vec![top(&client.config, scope)];
    let mut is_first = true;
    while !candidates.is_empty() {
        let batch = candidates.split_off(candidates.len().saturating_sub(AT_ONCE));
        let listed = list(client, &batch, is_first).await?;
        is_first = false;
        for (candidate, children) in batch.iter().zip(listed) {
            let (queue, others) = read_queue(client, &candidate.node, &children).await?;
            if let Some(key) = candidate.key().filter(|key| scope.contains(key.as_str()))
                && !queue.is_empty()
            {
                queues.insert(key, queue);
            }
            candidates.extend(others.iter().filter_map(|child| below(&client.config, scope, candidate, child)));
        }
    }
    Ok(queues)
}

/// Removes the entries that hold the lock, or of those the one with this fencing number, and no others: returns how many were
/// removed.
///
/// Of those that were read: a name is never used for another entry.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let node = client.config.node(&names::path(key.as_str()));
    let release = async {
        let mut released = 0;
        let queues = read(client, &Scope::Key(key.clone())).await?;
        let others = others(client, &queues).await?;
        let is_meant = |entry: &&QueuedEntry| {
            holds_elsewhere(entry, &queues, &others) && (fence.is_none() || entry.fence == fence)
        };
        for entry in holders(queues.get(key).map_or(&[], Vec::as_slice)).filter(is_meant) {
            let path = format!("{node}/{}", entry.node.name);
            match client.request(|client| async move { client.delete(&path, None).await }).await {
                Ok(()) => released += 1,
                Err(failure) if failure.is_no_node() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(released)
    };
    release.await.map_err(|failure| client.error(failure, &node))
}

/// The entry at a child of the lock's node `parent`, if it is there and is one.
pub(super) async fn entry(client: &Client, parent: &str, node: QueueNode) -> Result<Option<QueuedEntry>, Failure> {
    let mut children = read_children(client, parent, vec![node]).await?;
    Ok(match children.pop() {
        Some(Child::Entry(entry)) => Some(*entry),
        _ => None,
    })
}

/// The node to begin at.
fn top(config: &Config, scope: &Scope) -> Candidate {
    match scope {
        Scope::Key(key) => Candidate { node: config.node(&names::path(key.as_str())), prefix: Some(format!("{key}/")) },
        Scope::Prefix(prefix) => {
            let (path, prefix) = names::tree(prefix);
            Candidate { node: config.node(&path), prefix }
        }
    }
}

/// The child of a candidate, if anything in the scope can be there or below.
fn below(config: &Config, scope: &Scope, candidate: &Candidate, child: &str) -> Option<Candidate> {
    let Scope::Prefix(wanted) = scope else { return None };
    let at_root = candidate.node == config.node("");
    let prefix = names::below(candidate.prefix.as_deref(), child, at_root)?;
    let node = if candidate.node == "/" { format!("/{child}") } else { format!("{}/{child}", candidate.node) };
    // The top is the last node that `wanted` names in full, so that no prefix below it is shorter than `wanted`.
    if !prefix.is_empty() && !prefix.starts_with(wanted.as_str()) {
        return None;
    }
    Some(Candidate { node, prefix: Some(prefix) })
}

impl Candidate {
    fn key(&self) -> Option<Key> {
        Key::new(self.prefix.as_deref()?.strip_suffix('/')?).ok()
    }
}

/// The children of each node; none where there is no node, or none that this user may list.
async fn list(client: &Client, candidates: &[Candidate], is_first: bool) -> Result<Vec<Vec<String>>, Failure> {
    let nodes: Vec<String> = candidates.iter().map(|candidate| candidate.node.clone()).collect();
    let request = client.request(|client| async move {
        let sync = client.sync(nodes.first().map_or("/", String::as_str));
        // Each is sent when it is called, before any is awaited.
        let lists: Vec<_> = nodes.iter().map(|node| Box::pin(client.list_children(node))).collect();
        if is_first {
            sync.await?;
        }
        let mut children = Vec::new();
        for list in lists {
            children.push(match list.await {
                // Other programs may keep their nodes to themselves.
                Err(ZkError::NoAuth) if !is_first => Vec::new(),
                Err(ZkError::NoNode) => Vec::new(),
                other => other?,
            });
        }
        Ok(children)
    });
    request.await
}

/// A lock's queue, and the names of its node's other children.
async fn read_queue(
    client: &Client,
    parent: &str,
    children: &[String],
) -> Result<(Vec<QueuedEntry>, Vec<String>), Failure> {
    let nodes = queue::queue(children);
    let mut others: Vec<String> = children.iter().filter(|name| QueueNode::parse(name).is_none()).cloned().collect();
    let mut queue = Vec::new();
    for batch in nodes.chunks(AT_ONCE) {
        for child in read_children(client, parent, batch.to_vec()).await? {
            match child {
                Child::Entry(entry) => queue.push(*entry),
                Child::Other(name) => others.push(name),
                Child::Gone => {}
            }
        }
    }
    Ok((queue, others))
}

/// What a child is that looks like an entry.
enum Child {
    Entry(Box<QueuedEntry>),
    /// Another lock's node, by this name.
    Other(String),
    Gone,
}

async fn read_children(client: &Client, parent: &str, nodes: Vec<QueueNode>) -> Result<Vec<Child>, Failure> {
    let paths: Vec<String> = nodes.iter().map(|node| format!("{parent}/{}", node.name)).collect();
    let request = |client: ZkClient| async move {
        let requests: Vec<_> = paths.iter().map(|path| Box::pin(client.get_data(path))).collect();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(match request.await {
                Err(ZkError::NoNode) => None,
                Err(ZkError::NoAuth) => Some((record::unreadable(), None)),
                other => other.map(|(record, stat)| Some((record::holder(&record), Some((record, stat)))))?,
            });
        }
        Ok(answers)
    };
    let answers = client.request(request).await?;
    let children = nodes.into_iter().zip(answers).map(|(node, answer)| match answer {
        // Where the owner may not be seen, the name decides.
        Some((holder, read))
            if read.as_ref().map_or(node.is_named_as_entry(), |(_, stat)| is_entry(stat.ephemeral_owner)) =>
        {
            Child::Entry(queued(node, holder, read).into())
        }
        Some(_) => Child::Other(node.name),
        None => Child::Gone,
    });
    Ok(children.collect())
}

/// An entry, with what was read of its node if it may be read.
fn queued(node: QueueNode, holder: Holder, read: Option<(Vec<u8>, Stat)>) -> QueuedEntry {
    let Some((record, stat)) = read else { return QueuedEntry { node, holder, fence: None, keys: Vec::new() } };
    let further = record::further(&record, &holder);
    // By what it was created, unless that was once more: see `extend`.
    let fence = further.fence.or_else(|| u64::try_from(stat.czxid).ok());
    let keys = further.keys.into_iter().take(Keys::MOST).filter_map(|key| Key::new(key).ok()).collect();
    QueuedEntry { node, holder, fence, keys }
}
