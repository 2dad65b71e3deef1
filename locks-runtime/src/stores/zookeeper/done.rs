//! What was done once: a persistent node `/%%done/<key>` below the root, the key as one segment. It is in no lock's queue, and no
//! key's node has that path.

use super::client::Client;
use super::error::{ENTRY_GONE, Failure};
use super::names;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use zookeeper_client::{Client as ZkClient, CreateMode, Error as ZkError, MultiWriteError};

/// How often it is tried: others may make and remove the node meanwhile.
const ROUNDS: u32 = 5;

/// What of the transaction was refused: the first is whether the entry is there.
const RECORD: usize = 1;

pub(super) async fn mark(shared: &Shared, entry: &Entry, record: &[u8]) -> Result<(), Error> {
    let Some(nodes) = shared.nodes(entry) else { return Err(Error::lost(ENTRY_GONE)) };
    let Some(path) = shared.paths(entry, &nodes).next() else { return Err(Error::lost(ENTRY_GONE)) };
    let node = node(&shared.client, &entry.key);
    let explain = |failure: Failure| shared.client.error(failure, &node);
    let mut write = Write::Create;
    for _ in 0..ROUNDS {
        let committed = commit(shared, &path, &node, record, write).await.map_err(explain)?;
        match committed {
            Ok(()) => return Ok(()),
            Err(MultiWriteError::OperationFailed { index: RECORD, source: ZkError::NodeExists }) => write = Write::Set,
            Err(MultiWriteError::OperationFailed { index: RECORD, source: ZkError::NoNode }) => {
                make_parent(shared).await.map_err(explain)?;
                write = Write::Create;
            }
            Err(MultiWriteError::OperationFailed { source: ZkError::NoNode, .. }) => {
                return Err(Error::lost(ENTRY_GONE));
            }
            Err(error) => return Err(explain(ZkError::from(error).into())),
        }
    }
    Err(Error::unavailable("another program makes and removes the record again and again"))
}

#[derive(Clone, Copy)]
enum Write {
    Create,
    Set,
}

/// Writes the record in one transaction, if the entry is there.
async fn commit(
    shared: &Shared,
    path: &str,
    node: &str,
    record: &[u8],
    write: Write,
) -> Result<Result<(), MultiWriteError>, Failure> {
    let mode = CreateMode::Persistent.with_acls(shared.config().acls());
    let committed = shared.client.request(|client| async move {
        let committed = {
            let mut writer = client.new_multi_writer();
            writer.add_check_version(path, ANY_VERSION)?;
            match write {
                Write::Create => writer.add_create(node, record, &mode)?,
                Write::Set => writer.add_set_data(node, record, None)?,
            }
            writer.commit()
        };
        Ok(committed.await.map(drop))
    });
    committed.await
}

/// To the servers, no version in particular.
const ANY_VERSION: i32 = -1;

/// Makes the node that records are below.
async fn make_parent(shared: &Shared) -> Result<(), Failure> {
    let (parent, mode) = (shared.config().node(names::DONE), CreateMode::Persistent.with_acls(shared.config().acls()));
    let made = |client: ZkClient| async move {
        match client.create(&parent, &[], &mode).await {
            Ok(_) | Err(ZkError::NodeExists) => Ok(()),
            Err(error) => Err(error),
        }
    };
    shared.client.request(made).await
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    let node = &node(client, key);
    // As of now, not as of when this server last heard from its leader.
    let read = client.request(|client| async move {
        let (sync, data) = (client.sync(node), client.get_data(node));
        sync.await?;
        match data.await {
            Ok((record, _)) => Ok(Some(String::from_utf8_lossy(&record).into_owned())),
            Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    });
    read.await.map_err(|failure| client.error(failure, node))
}

pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    let node = &node(client, key);
    let deleted = client.request(|client| async move {
        match client.delete(node, None).await {
            Ok(()) => Ok(true),
            Err(ZkError::NoNode) => Ok(false),
            Err(error) => Err(error),
        }
    });
    deleted.await.map_err(|failure| client.error(failure, node))
}

fn node(client: &Client, key: &Key) -> String {
    client.config.node(&names::done(key.as_str()))
}
