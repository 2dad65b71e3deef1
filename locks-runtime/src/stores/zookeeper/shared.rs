//! What the futures of one session share.

use super::client::Client;
use super::config::Config;
use super::entries::{EntryNode, EntryState};
use super::error::Failure;
use super::names;
use crate::contract::{Entry, Ledger};
use crate::values::error::Error;
use crate::world::World;
use crate::world::clock::AtomicMoment;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    pub(super) ttl: Duration,
    /// When the last acknowledged renewal was sent.
    pub(super) renewed: AtomicMoment,
    pub(super) ledger: Ledger<EntryState>,
    /// How many bytes the paths of all watched nodes have.
    pub(super) watched_bytes: AtomicUsize,
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

    /// The name of the node of an entry whose creation is unresolved; `None` if it was not created, and never will be.
    ///
    /// The server answers in order, and refuses a request that arrives late over a connection that was replaced. So
    /// whatever was sent before this request has been carried out by the time of its answer, or never will be.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Option<String>, Failure> {
        let prefix = self.name_prefix(entry);
        match self.client.current_children(&self.lock_path(entry)).await {
            Ok(children) => Ok(children.into_iter().find(|name| name.starts_with(&prefix))),
            Err(failure) if failure.is_no_node() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes the entry's node. Its name is never used again, so no other node can be hit.
    pub(super) async fn delete(&self, entry: &Entry) -> Result<(), Failure> {
        let name = match self.node(entry) {
            Some(node) => Some(node.name),
            None => self.find(entry).await?,
        };
        let Some(name) = name else { return Ok(()) };
        let path = format!("{}/{name}", self.lock_path(entry));
        match self.client.request(|client| async move { client.delete(&path, None).await }).await {
            Err(failure) if failure.is_no_node() => Ok(()),
            other => other,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client", &self.client).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
