//! What is known of each entry of a session.

use crate::world::clock::Moment;
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};

/// What the ledger keeps for an entry.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The entry's node, once its creation is known.
    pub(super) node: Option<EntryNode>,
    /// Notified when the entry begins to leave.
    pub(super) leaves: Arc<Notify>,
    /// There once the entry was extended.
    pub(super) extension: Option<Extension>,
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

/// Which session owns the node of an extended entry.
#[derive(Debug)]
pub(super) enum NodeOwner {
    /// The session that is renewed.
    Renewed,
    /// One that only this entry has.
    Own(OwnSession),
}

/// The way to the task that holds an extended entry's own session open. The task closes it at the moment that is sent,
/// or when the extension is over if nothing can be sent any more.
#[derive(Debug)]
pub(super) struct OwnSession(pub(super) oneshot::Sender<Moment>);

impl OwnSession {
    pub(super) fn close_at(self, moment: Moment) {
        // Without a receiver the background runtime is gone, and the session expires by itself.
        let _ = self.0.send(moment);
    }
}

/// Whether a node with this owner is an entry: ephemeral, and neither a container nor a node with a TTL.
pub(super) fn is_entry(owner: i64) -> bool {
    owner != 0 && owner != i64::MIN && owner.cast_unsigned() >> 56 != 0xff
}
