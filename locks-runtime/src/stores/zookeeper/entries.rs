//! What is known of each entry of a session.

use super::turns::Turn;
use crate::world::clock::Moment;
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, Notify};

/// What the ledger keeps for an entry.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The entry's node, once its creation is known.
    pub(super) node: Option<EntryNode>,
    /// There if nobody was ahead when the entry was created.
    pub(super) turn: Option<Turn>,
    /// Notified when the entry begins to leave.
    pub(super) leaves: Arc<Notify>,
    /// There once the entry was extended, or lapses.
    pub(super) extension: Option<Extension>,
    /// The sessions of its own that may have the node.
    pub(super) own_sessions: Vec<i64>,
}

/// An entry's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryNode {
    /// The name below the lock's node.
    pub(super) name: String,
    pub(super) sequence: i32,
    /// The transaction that put the entry into the queue.
    pub(super) created: i64,
}

impl EntryNode {
    /// The fencing number: transactions are numbered for the whole ensemble.
    pub(super) fn fence(&self) -> u64 {
        u64::try_from(self.created).unwrap_or(0)
    }
}

/// The lock stays taken until then, even if this process ends.
#[derive(Clone, Debug)]
pub(super) struct Extension {
    pub(super) until: Moment,
    /// Locked while the node is moved from one session to another.
    pub(super) owner: Arc<AsyncMutex<NodeOwner>>,
}

impl Extension {
    pub(super) fn new(until: Moment) -> Self {
        Self { until, owner: Arc::new(AsyncMutex::new(NodeOwner::Renewed)) }
    }
}

/// Which session owns the node of an extended entry.
#[derive(Debug)]
pub(super) enum NodeOwner {
    /// The session that is renewed.
    Renewed,
    /// One that only this entry has and nobody renews. The servers keep it at least until then.
    Own { until: Moment },
}

/// Whether a node with this owner is an entry: ephemeral, and neither a container nor a node with a TTL.
pub(super) fn is_entry(owner: i64) -> bool {
    owner != 0 && owner != i64::MIN && owner.cast_unsigned() >> 56 != 0xff
}
