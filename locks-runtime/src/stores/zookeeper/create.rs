//! Creating an entry's node, in one transaction and one round trip where that is possible.
//!
//! A new lock's node and those above it are made in the same transaction as the entry: it is the only one in the queue then.
//! What is there is found out by reading, which costs no transaction; or it is known, and then nothing is asked. Below a node
//! that is known the queue is listed in the same round trip, unless [`Turn`] shows that nobody can be ahead.

use super::entries::{EntryNode, EntryNodes};
use super::error::Failure;
use super::parents::Path;
use super::queue::{self, QueueNode};
use super::record;
use super::shared::Shared;
use super::turns::{Turn, Watch};
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use std::sync::Arc;
use zookeeper_client::{
    CreateMode, CreateSequence, Error as ZkError, MultiWriteError, MultiWriteResult, OneshotWatcher, Stat,
};

/// How often it is tried: what is known of the nodes above may be wrong, and they may vanish meanwhile.
const ROUNDS: u32 = 5;

/// The server closes the connection at more: its `jute.maxbuffer` is a little more than a megabyte.
const LONGEST_RECORD: usize = 1_000_000;

/// What the server appends to the name of a node's first child.
const FIRST: &str = "0000000000";

/// With a longer one the nodes above are made in a transaction of their own: their paths may have half a megabyte too.
pub(super) const LONGEST_IN_TRANSACTION: usize = 400_000;

/// An entry's nodes, and who is in the queues.
pub(super) struct Joined {
    pub(super) nodes: EntryNodes,
    /// Of each lock, without those of whom it is known that they are not ahead.
    pub(super) queues: Vec<Vec<QueueNode>>,
    /// If nobody is ahead, what the next entry may conclude from that.
    pub(super) turn: Option<Turn>,
}

/// The record of an entry, if the transaction is not too large that has it once for each lock.
pub(super) fn record_for(entry: &Entry) -> Result<Vec<u8>, Error> {
    let record = record::of(entry, None);
    let names: usize = entry.others.iter().map(|key| key.as_str().len()).sum();
    let locks = 1 + entry.others.len();
    if record.len() * locks + names <= LONGEST_RECORD {
        return Ok(record);
    }
    let together = if locks > 1 { format!(" for {locks} locks together") } else { String::new() };
    let message = format!(
        "the holder record has {} bytes, and ZooKeeper accepts at most a million{together}; shorten the labels",
        record.len(),
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Creates the node of an entry of one lock, and the lock's if it is not there.
pub(super) async fn create(shared: &Shared, entry: &Arc<Entry>) -> Result<Joined, Error> {
    let explain = |failure| shared.error(failure, entry);
    let record = record_for(entry)?;
    let new = NewEntry { shared, entry, path: shared.lock_path(entry), record: &record };
    for _ in 0..ROUNDS {
        let missing = missing(shared, &new.path).await.map_err(explain)?;
        let before = shared.client.history.latest();
        shared.ledger.sent(entry);
        match new.create(&missing).await {
            Ok(Created { node, queue, turn }) => {
                if !shared.client.history.note(before, node.created) {
                    return Err(explain(shared.client.gone_back(before, node.created)));
                }
                let nodes = EntryNodes::one(node);
                shared.ledger.update(entry, |state| state.nodes = Some(nodes.clone()));
                shared.ledger.resolved(entry.number);
                return Ok(Joined { nodes, queues: vec![queue.map_err(explain)?], turn });
            }
            Err(failure) => not_created(shared, entry, failure)?,
        }
    }
    Err(deleted_each_time())
}

/// The request that was to create the entry has failed: returns the error unless it is to be tried again, since what was believed
/// of the nodes above was wrong and is known now.
pub(super) fn not_created(shared: &Shared, entry: &Entry, failure: Failure) -> Result<(), Error> {
    if failure.is_definite() {
        shared.ledger.resolved(entry.number);
    }
    let knows_better =
        failure.concerns_parents() || (failure.is_unimplemented() && shared.client.parents.refused_containers());
    if knows_better { Ok(()) } else { Err(shared.error(failure, entry)) }
}

pub(super) fn deleted_each_time() -> Error {
    Error::unavailable(
        "the lock's node was deleted each time after it was created; check whether another program deletes it",
    )
}

/// The nodes that have to be made so that there is one at `path`, from the top.
pub(super) async fn missing(shared: &Shared, path: &str) -> Result<Vec<String>, Failure> {
    let (client, parents) = (&shared.client, &shared.client.parents);
    let mut unknown = match parents.path(path) {
        Path::Known => return Ok(Vec::new()),
        Path::New(nodes) => return Ok(nodes),
        Path::Unknown(nodes) => nodes,
    };
    let there = client.request(|client| {
        // All are sent before any is awaited.
        let looks: Vec<_> = unknown.iter().map(|node| Box::pin(client.check_stat(node))).collect();
        async move {
            let mut stats = Vec::new();
            for look in looks {
                stats.push(look.await?);
            }
            Ok(stats.into_iter().take_while(Option::is_some).count())
        }
    });
    let missing = unknown.split_off(there.await?);
    if !unknown.is_empty() {
        parents.found(&unknown);
    }
    Ok(missing)
}

/// Makes these nodes, which are missing up to the one at `path`, in a transaction without the entry.
pub(super) async fn make(shared: &Shared, path: &str, missing: &[String]) -> Result<(), Failure> {
    let mode = shared.client.parents.mode().with_acls(shared.config().acls());
    let committed = shared.client.request(|client| async move {
        let committed = {
            let mut writer = client.new_multi_writer();
            for node in missing {
                writer.add_create(node, &[], &mode)?;
            }
            writer.commit()
        };
        Ok(committed.await)
    });
    committed.await?.map_err(|error| learn(shared, path, missing, error))?;
    shared.client.parents.made(missing);
    Ok(())
}

/// The node at `path`, and these above it, were believed to be missing, and the first of them to have one above it.
pub(super) fn learn(shared: &Shared, path: &str, missing: &[String], error: MultiWriteError) -> Failure {
    let parents = &shared.client.parents;
    match error {
        MultiWriteError::OperationFailed { index, source: ZkError::NodeExists } => {
            parents.found(missing.get(..=index).unwrap_or(missing));
        }
        MultiWriteError::OperationFailed { source: ZkError::NoNode, .. } => parents.forget(path),
        _ => {}
    }
    Failure::from(ZkError::from(error))
}

/// An entry whose node is to be created.
struct NewEntry<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    /// The lock's node.
    path: String,
    record: &'a [u8],
}

/// As [`Joined`], before it is noted.
struct Created {
    node: EntryNode,
    queue: Result<Vec<QueueNode>, Failure>,
    turn: Option<Turn>,
}

/// To a creation, and to what was sent with it.
type Answers = (
    Result<(Stat, CreateSequence), ZkError>,
    Option<Result<Vec<String>, ZkError>>,
    Option<(Option<Stat>, OneshotWatcher)>,
);

impl NewEntry<'_> {
    /// Creates it, and the nodes that are missing up to the lock's.
    async fn create(&self, missing: &[String]) -> Result<Created, Failure> {
        if missing.is_empty() {
            return self.create_below().await;
        }
        if self.record.len() > LONGEST_IN_TRANSACTION {
            make(self.shared, &self.path, missing).await?;
            return self.create_below().await;
        }
        self.create_with(missing).await
    }

    /// Creates it below a node that is known to be there.
    async fn create_below(&self) -> Result<Created, Failure> {
        let (shared, path) = (self.shared, self.path.as_str());
        let (prefix, connection) = (shared.name_prefix(self.entry), shared.client.connection());
        let mut last = shared.turns.take(path);
        if let Some(turn) = last.as_mut().filter(|turn| turn.connection != connection) {
            turn.watch = None;
        }
        let is_watched = last.as_ref().is_some_and(|turn| turn.watch.is_some());
        let room = last.as_ref().filter(|turn| turn.in_a_row && !is_watched);
        let room = room.and_then(|_| shared.watched.reserve_to_save(path));
        let (created, listed, watched) = self.send(&prefix, !is_watched, room.is_some()).await?;
        let (stat, sequence) = created.map_err(|error| self.forget(error))?;
        let name = format!("{prefix}{sequence}");
        let sequence = i32::try_from(sequence.into_i64()).unwrap_or_default();
        let node = EntryNode { name, sequence, created: stat.czxid };
        let in_a_row = last.as_ref().is_some_and(|last| last.is_followed_by(sequence));
        let next = |watch| Turn { sequence, in_a_row, connection, watch };
        let queue = |children: Vec<String>| queue::queue(&children);
        if let Some(listed) = listed {
            let watch = watched
                .zip(room)
                .map(|((_, watcher), room)| Watch::new(async move { drop(watcher.changed().await) }, room));
            return Ok(Created { queue: listed.map(queue).map_err(Failure::from), turn: Some(next(watch)), node });
        }
        let connection = shared.client.connection();
        if in_a_row && last.as_mut().is_some_and(|last| last.is_of_same_node(connection)) {
            let watch = last.and_then(|last| last.watch);
            return Ok(Created { queue: Ok(Vec::new()), turn: Some(next(watch)), node });
        }
        // Others use the lock too.
        let listed = shared.client.request(|client| async move { client.list_children(path).await }).await;
        Ok(Created { queue: listed.map(queue), turn: None, node })
    }

    /// Sends all requests before any answer is awaited.
    async fn send(&self, prefix: &str, lists: bool, watches: bool) -> Result<Answers, Failure> {
        let (path, record, acls) = (self.path.as_str(), self.record, self.shared.config().acls());
        let node = format!("{path}/{prefix}");
        let answers = self.shared.client.request(|client| async move {
            let mode = CreateMode::EphemeralSequential.with_acls(acls);
            let created = client.create(&node, record, &mode);
            let listed = lists.then(|| client.list_children(path));
            let watched = watches.then(|| client.check_and_watch_stat(path));
            let created = created.await;
            let listed = if let Some(listed) = listed { Some(listed.await) } else { None };
            let watched = if let Some(watched) = watched { watched.await.ok() } else { None };
            Ok((created, listed, watched))
        });
        answers.await
    }

    /// Creates it together with the nodes that are missing, the lock's among them.
    async fn create_with(&self, missing: &[String]) -> Result<Created, Failure> {
        let (shared, connection) = (self.shared, self.shared.client.connection());
        let prefix = shared.name_prefix(self.entry);
        let node = format!("{}/{prefix}", self.path);
        // It may have been deleted at once, by others.
        let stat = self.commit(missing, &node).await?.ok_or_else(Failure::no_node)?;
        let node = EntryNode { name: format!("{prefix}{FIRST}"), sequence: 0, created: stat.czxid };
        let turn = Some(Turn { sequence: node.sequence, in_a_row: false, connection, watch: None });
        Ok(Created { queue: Ok(Vec::new()), turn, node })
    }

    /// Makes the nodes that are missing in one transaction, and below them the first entry, whose name begins like `node`: returns
    /// what it has.
    async fn commit(&self, missing: &[String], node: &str) -> Result<Option<Stat>, Failure> {
        let Self { shared, record, .. } = self;
        let (acls, mode) = (shared.config().acls(), shared.client.parents.mode());
        let first = &format!("{node}{FIRST}");
        let answers = shared.client.request(|client| async move {
            let committed = {
                let mut writer = client.new_multi_writer();
                for parent in missing {
                    writer.add_create(parent, &[], &mode.with_acls(acls))?;
                }
                writer.add_create(node, record, &CreateMode::EphemeralSequential.with_acls(acls))?;
                writer.commit()
            };
            // ZooKeeper 3.8 leaves it out of the answer to the transaction.
            let looked = client.check_stat(first);
            let results = match committed.await {
                Ok(results) => results,
                Err(error) => return Ok(Err(error)),
            };
            match results.last() {
                Some(MultiWriteResult::Create { path, .. }) if path == first => Ok(Ok(looked.await?)),
                // The entry may be there.
                _ => Err(ZkError::UnexpectedError(format!("the answer does not say that {first} was created"))),
            }
        });
        let stat = answers.await?.map_err(|error| learn(shared, &self.path, missing, error))?;
        shared.client.parents.made(missing);
        Ok(stat)
    }

    /// The lock's node was believed to be there.
    fn forget(&self, error: ZkError) -> Failure {
        if error == ZkError::NoNode {
            self.shared.client.parents.forget(&self.path);
        }
        error.into()
    }
}
