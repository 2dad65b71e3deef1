//! What the futures of one session share.

use super::client::{Client, Purpose};
use super::config::Config;
use super::entries::{EntryNode, EntryState};
use super::error::Failure;
use super::names::{self, QueueNode};
use super::turns::Turns;
use super::watched::WatchedBytes;
use crate::contract::{Entry, Ledger};
use crate::values::error::Error;
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

    /// The lock's node.
    pub(super) fn lock_path(&self, entry: &Entry) -> String {
        self.config().node(&names::path(entry.key.as_str()))
    }

    /// How the name of the entry's node begins; the server appends the sequence.
    pub(super) fn name_prefix(&self, entry: &Entry) -> String {
        names::entry(self.config().layout, self.client.id, entry.number)
    }

    /// The entry's node, if its creation is known.
    pub(super) fn node(&self, entry: &Entry) -> Option<EntryNode> {
        self.ledger.get(entry.number, |state| state.node.clone()).flatten()
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

    /// The node of an entry whose creation is unresolved; `None` if it was not created, and never will be.
    ///
    /// The server answers in order, and refuses a request that arrives late over a connection that was replaced. So
    /// whatever was sent before this request has been carried out by the time of its answer, or never will be. What other
    /// clients have named like it is not the session's.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Option<EntryNode>, Failure> {
        let (prefix, parent) = (self.name_prefix(entry), self.lock_path(entry));
        let children = match self.client.current_children(&parent).await {
            Err(failure) if failure.is_no_node() => return Ok(None),
            children => children?,
        };
        for name in children.into_iter().filter(|name| name.starts_with(&prefix)) {
            let path = format!("{parent}/{name}");
            let stat = self.client.request(|client| async move { client.check_stat(&path).await }).await?;
            let own = stat.filter(|stat| stat.ephemeral_owner == self.client.id);
            if let Some((stat, node)) = own.zip(QueueNode::parse(&name)) {
                return Ok(Some(EntryNode { sequence: node.sequence, created: stat.czxid, name }));
            }
        }
        Ok(None)
    }

    /// Deletes the entry's node. Its name is never used again, so no other node of ours can be hit.
    pub(super) async fn delete(&self, entry: &Entry) -> Result<(), Failure> {
        let node = match self.node(entry) {
            Some(node) => Some(node),
            None => self.find(entry).await?,
        };
        match node {
            Some(node) => delete_node(&self.client, format!("{}/{}", self.lock_path(entry), node.name)).await,
            None => Ok(()),
        }
    }

    /// As [`delete`](Self::delete), of an entry whose own session has outlived this one.
    pub(super) async fn delete_by_another(&self, entry: &Entry) -> Result<(), Error> {
        let Some(node) = self.node(entry) else { return Ok(()) };
        let another = self.client.open_another(self.ttl, Purpose::Requests).await?;
        let path = format!("{}/{}", self.lock_path(entry), node.name);
        delete_node(&another, path).await.map_err(|failure| self.error(failure, entry))
    }
}

async fn delete_node(client: &Client, path: String) -> Result<(), Failure> {
    match client.request(|client| async move { client.delete(&path, None).await }).await {
        Err(failure) if failure.is_no_node() => Ok(()),
        other => other,
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client", &self.client).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
