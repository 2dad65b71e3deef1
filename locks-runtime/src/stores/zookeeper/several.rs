//! Creating the nodes of an entry of several locks, all in one transaction: so the order of two such entries is the same in each
//! queue, and they never wait for each other.
//!
//! What is missing of the locks' paths is made in the same transaction, and the queues are listed in the same round trip.

use super::create::{Joined, LONGEST_IN_TRANSACTION, deleted_each_time, learn, make, missing, not_created, record_for};
use super::entries::{EntryNode, EntryNodes};
use super::error::{Failure, deleted_while_entering};
use super::queue::{self, QueueNode};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::sync::Arc;
use zookeeper_client::{Client as ZkClient, CreateMode, Error as ZkError, MultiWriteError, MultiWriteResult};

/// How often it is tried: each time one of the locks' paths may turn out to be otherwise than believed.
const ROUNDS: usize = 5;

/// Creates the entry's nodes, and those of its locks that are not there.
pub(super) async fn create(shared: &Shared, entry: &Arc<Entry>) -> Result<Joined, Error> {
    let explain = |failure| shared.error(failure, entry);
    let record = record_for(entry)?;
    let paths: Vec<String> = entry.keys().map(|key| shared.path(key)).collect();
    for _ in 0..ROUNDS * paths.len() {
        let above = above(shared, &paths).await.map_err(explain)?;
        let before = shared.client.history.latest();
        shared.ledger.sent(entry);
        match create_all(shared, entry, &paths, above, &record).await {
            Ok(created) => {
                let nodes = created.nodes(shared, &paths).await.map_err(explain)?.ok_or_else(deleted_while_entering)?;
                if !shared.client.history.note(before, nodes.first.created) {
                    return Err(explain(shared.client.gone_back(before, nodes.first.created)));
                }
                shared.ledger.update(entry, |state| state.nodes = Some(nodes.clone()));
                shared.ledger.resolved(entry.number);
                let queues = created.children.into_iter().map(|children| Ok(queue::queue(&children?)));
                let queues = queues.collect::<Result<_, ZkError>>().map_err(|error| explain(error.into()))?;
                return Ok(Joined { nodes, queues, turn: None });
            }
            Err(failure) => not_created(shared, entry, failure)?,
        }
    }
    Err(deleted_each_time())
}

/// The nodes that have to be made for each lock, from the top, each once.
async fn above(shared: &Shared, paths: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    let mut above: Vec<Vec<String>> = Vec::new();
    for path in paths {
        let mut missing = missing(shared, path).await?;
        missing.retain(|node| !above.iter().flatten().any(|other| other == node));
        above.push(missing);
    }
    Ok(above)
}

/// Whether all of it is too much for one transaction: the nodes of the paths may have half a megabyte, too.
fn is_long(paths: &[String], above: &[Vec<String>], record: &[u8]) -> bool {
    let made: usize = above.iter().flatten().map(String::len).sum();
    let entries: usize = paths.iter().map(|path| path.len() + record.len()).sum();
    made > 0 && made + entries > LONGEST_IN_TRANSACTION
}

/// Creates the entry's nodes and those above them: these before, and in a transaction for each lock, if all is too much for one.
async fn create_all(
    shared: &Shared,
    entry: &Entry,
    paths: &[String],
    mut above: Vec<Vec<String>>,
    record: &[u8],
) -> Result<Created, Failure> {
    if is_long(paths, &above, record) {
        for (path, missing) in paths.iter().zip(&mut above).filter(|(_, missing)| !missing.is_empty()) {
            make(shared, path, missing).await?;
            missing.clear();
        }
    }
    commit(shared, entry, paths, &above, record).await
}

/// What the answer to the transaction shows.
struct Created {
    /// The paths of the entry's nodes, in the order of its locks.
    nodes: Vec<String>,
    /// The transaction, where the server reports it.
    transaction: Option<i64>,
    /// What was below the locks' nodes after it.
    children: Vec<Result<Vec<String>, ZkError>>,
}

/// Makes all of it in one transaction, and lists the queues.
async fn commit(
    shared: &Shared,
    entry: &Entry,
    paths: &[String],
    above: &[Vec<String>],
    record: &[u8],
) -> Result<Created, Failure> {
    let acls = shared.config().acls();
    let (mode, prefix) = (shared.client.parents.mode().with_acls(acls), shared.name_prefix(entry));
    let answers = shared.client.request(|client: ZkClient| async move {
        let committed = {
            let mut writer = client.new_multi_writer();
            for node in above.iter().flatten() {
                writer.add_create(node, &[], &mode)?;
            }
            for path in paths {
                let ephemeral = CreateMode::EphemeralSequential.with_acls(acls);
                writer.add_create(&format!("{path}/{prefix}"), record, &ephemeral)?;
            }
            writer.commit()
        };
        // All are sent before any is awaited. Below a node that is made now there is nobody else.
        let list = |(path, made): (_, &Vec<String>)| made.is_empty().then(|| Box::pin(client.list_children(path)));
        let lists: Vec<_> = paths.iter().map(String::as_str).zip(above).map(list).collect();
        let results = match committed.await {
            Ok(results) => results,
            Err(error) => return Ok(Err(error)),
        };
        let mut created = Created { nodes: Vec::new(), transaction: None, children: Vec::new() };
        for result in results.into_iter().skip(above.iter().flatten().count()) {
            let MultiWriteResult::Create { path, stat } = result else { break };
            // ZooKeeper 3.8 leaves it out of the answer to the transaction.
            created.transaction = created.transaction.or((!stat.is_invalid()).then_some(stat.czxid));
            created.nodes.push(path);
        }
        if created.nodes.len() != paths.len() {
            return Err(ZkError::UnexpectedError("the answer does not say what was created".to_owned()));
        }
        for list in lists {
            created.children.push(if let Some(list) = list { list.await } else { Ok(Vec::new()) });
        }
        Ok(Ok(created))
    });
    let created = answers.await?.map_err(|error| refused(shared, paths, above, error))?;
    above.iter().filter(|made| !made.is_empty()).for_each(|made| shared.client.parents.made(made));
    Ok(created)
}

/// Notes which of the locks' paths is otherwise than believed.
fn refused(shared: &Shared, paths: &[String], above: &[Vec<String>], error: MultiWriteError) -> Failure {
    let MultiWriteError::OperationFailed { index, source } = error else { return Failure::from(ZkError::from(error)) };
    let mut first = 0;
    for (path, missing) in paths.iter().zip(above) {
        if index < first + missing.len() {
            let error = MultiWriteError::OperationFailed { index: index - first, source };
            return learn(shared, path, missing, error);
        }
        first += missing.len();
    }
    let path = paths.get(index - first).map_or("", String::as_str);
    learn(shared, path, &[], MultiWriteError::OperationFailed { index: 0, source })
}

impl Created {
    /// The entry's nodes; `None` if they have been deleted meanwhile.
    async fn nodes(&self, shared: &Shared, paths: &[String]) -> Result<Option<EntryNodes>, Failure> {
        let transaction = match (self.transaction, self.nodes.first()) {
            (Some(transaction), _) => Some(transaction),
            (None, Some(first)) => {
                let stat = shared.client.request(|client| async move { client.check_stat(first).await }).await?;
                stat.map(|stat| stat.czxid)
            }
            (None, None) => None,
        };
        let Some(created) = transaction else { return Ok(None) };
        let node = |(node, path): (&String, &String)| {
            let name = node.strip_prefix(path.as_str())?.strip_prefix('/')?;
            let node = QueueNode::parse(name)?;
            Some(EntryNode { name: node.name, sequence: node.sequence, created })
        };
        let nodes: Option<Vec<EntryNode>> = self.nodes.iter().zip(paths).map(node).collect();
        Ok(nodes.and_then(EntryNodes::of_several))
    }
}
