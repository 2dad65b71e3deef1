//! What the futures of one session share.

use super::client::{Client, Purpose};
use super::config::Config;
use super::deletion;
use super::entries::{EntryNode, EntryNodes, EntryState};
use super::error::Failure;
use super::names;
use super::queue::{self, QueueNode};
use super::turns::Turns;
use super::watched::WatchedBytes;
use crate::contract::{Entry, Ledger};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use crate::world::clock::AtomicMoment;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    pub(super) ttl: Duration,
    /// When the last acknowledged renewal was sent.
    pub(super) renewed: AtomicMoment,
    pub(super) ledger: Ledger<EntryState>,
    pub(super) watched: WatchedBytes,
    pub(super) turns: Turns,
    /// How many entries are polled, since there is no room to watch them.
    pub(super) polled: AtomicU32,
}

impl Shared {
    pub(super) fn config(&self) -> &Config {
        &self.client.config
    }

    pub(super) fn world(&self) -> &World {
        &self.client.world
    }

    /// The node of a lock.
    pub(super) fn path(&self, key: &Key) -> String {
        self.config().node(&names::path(key.as_str()))
    }

    /// The node of the entry's lock, or of the first of them.
    pub(super) fn lock_path(&self, entry: &Entry) -> String {
        self.path(&entry.key)
    }

    /// How the names of the entry's nodes begin; the server appends the sequences.
    pub(super) fn name_prefix(&self, entry: &Entry) -> String {
        queue::entry(self.config().layout, self.client.id, entry.number, entry.mode)
    }

    /// The entry's nodes, if their creation is known.
    pub(super) fn nodes(&self, entry: &Entry) -> Option<EntryNodes> {
        self.ledger.get(entry.number, |state| state.nodes.clone()).flatten()
    }

    /// The paths of the entry's nodes.
    pub(super) fn paths<'a>(&self, entry: &'a Entry, nodes: &'a EntryNodes) -> impl Iterator<Item = String> {
        entry.keys().zip(nodes.iter()).map(|(key, node)| format!("{}/{}", self.path(key), node.name))
    }

    /// The error for the engine, about a request for `entry`.
    pub(super) fn error(&self, failure: Failure, entry: &Entry) -> Error {
        self.client.error(failure, &self.lock_path(entry))
    }

    /// Whether a node with this owner is the entry's: another client may have put one of its own in its place.
    pub(super) fn owns(&self, entry: &Entry, owner: i64) -> bool {
        let own = self.ledger.get(entry.number, |state| state.own_sessions.contains(&owner)).unwrap_or(false);
        owner == self.client.id || own
    }

    /// The nodes of an entry whose creation is unresolved, one for each lock: `None` if it is not there, and never will be.
    ///
    /// The server answers in order, and refuses a request that arrives late over a connection that was replaced. So
    /// whatever was sent before this request has been carried out by the time of its answer, or never will be. What other
    /// clients have named like it is not the session's.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Vec<Option<EntryNode>>, Failure> {
        let prefix = self.name_prefix(entry);
        let mut nodes = Vec::new();
        for key in entry.keys() {
            nodes.push(self.find_below(&self.path(key), &prefix).await?);
        }
        Ok(nodes)
    }

    /// The session's node below this one whose name begins so.
    async fn find_below(&self, parent: &str, prefix: &str) -> Result<Option<EntryNode>, Failure> {
        let children = match self.client.current_children(parent).await {
            Err(failure) if failure.is_no_node() => return Ok(None),
            children => children?,
        };
        for name in children.into_iter().filter(|name| name.starts_with(prefix)) {
            let path = format!("{parent}/{name}");
            let stat = self.client.request(|client| async move { client.check_stat(&path).await }).await?;
            let own = stat.filter(|stat| stat.ephemeral_owner == self.client.id);
            if let Some((stat, node)) = own.zip(QueueNode::parse(&name)) {
                return Ok(Some(EntryNode { sequence: node.sequence, created: stat.czxid, name }));
            }
        }
        Ok(None)
    }

    /// Deletes the entry's nodes. Their names are never used again, so no other node of ours can be hit.
    pub(super) async fn delete(&self, entry: &Entry) -> Result<(), Failure> {
        let version = |state: &mut EntryState| state.may_be_anothers().then_some(state.version);
        if let Some(version) = self.ledger.get(entry.number, version).flatten() {
            let Some(nodes) = self.nodes(entry) else { return Ok(()) };
            for path in self.paths(entry, &nodes) {
                deletion::delete_own(&self.client, &path, version).await?;
            }
            return Ok(());
        }
        let (keys, paths): (Vec<_>, Vec<_>) = match self.nodes(entry) {
            Some(nodes) => entry.keys().zip(self.paths(entry, &nodes)).unzip(),
            None => {
                let found = entry.keys().zip(self.find(entry).await?);
                found.filter_map(|(key, node)| Some((key, format!("{}/{}", self.path(key), node?.name)))).unzip()
            }
        };
        deletion::delete_noting(&self.client, &paths, |place| entry.note_left(keys[place])).await
    }

    /// As [`delete`](Self::delete), of an entry whose own session has outlived this one.
    pub(super) async fn delete_by_another(&self, entry: &Entry) -> Result<(), Error> {
        let Some(nodes) = self.nodes(entry) else { return Ok(()) };
        let another = self.client.open_another(self.ttl, Purpose::Requests).await?;
        let paths: Vec<String> = self.paths(entry, &nodes).collect();
        deletion::delete(&another, &paths).await.map_err(|failure| self.error(failure, entry))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client", &self.client).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
