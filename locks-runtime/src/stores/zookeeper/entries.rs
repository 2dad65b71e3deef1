//! What is known of each entry of a session.

use super::turns::Turn;
use crate::contract::Grant;
use crate::world::clock::Moment;
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, Notify};

/// What the ledger keeps for an entry.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The entry's nodes, once their creation is known.
    pub(super) nodes: Option<EntryNodes>,
    /// There if nobody was ahead when the entry was created.
    pub(super) turn: Option<Turn>,
    /// Notified when the entry begins to leave.
    pub(super) leaves: Arc<Notify>,
    /// There once the entry was extended, or lapses.
    pub(super) extension: Option<Extension>,
    /// The sessions of its own that may have the nodes.
    pub(super) own_sessions: Vec<i64>,
    /// It is being handed over: perhaps the node is the ticket's already.
    pub(super) is_detaching: bool,
    /// The sessions that may have the node then.
    pub(super) ticket_sessions: Vec<i64>,
    /// It is being adopted: perhaps the node is the ticket's still, or another's.
    pub(super) is_adopting: bool,
    /// The version of the node: how often the hold was handed over.
    pub(super) version: i32,
}

impl EntryState {
    /// Whether a node of its name may be another's.
    pub(super) fn may_be_anothers(&self) -> bool {
        self.is_detaching || self.is_adopting
    }
}

/// An entry's nodes: one in the queue of each of its locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryNodes {
    pub(super) first: EntryNode,
    /// Those of the other locks, in their order.
    pub(super) others: Box<[EntryNode]>,
}

impl EntryNodes {
    /// Of an entry of one lock.
    pub(super) fn one(node: EntryNode) -> Self {
        Self { first: node, others: Box::default() }
    }

    /// In the order of the entry's locks; `None` if there are none.
    pub(super) fn of_several(nodes: impl IntoIterator<Item = EntryNode>) -> Option<Self> {
        let mut nodes = nodes.into_iter();
        Some(Self { first: nodes.next()?, others: nodes.collect() })
    }

    /// In the order of the entry's locks.
    pub(super) fn iter(&self) -> impl Iterator<Item = &EntryNode> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// What the entry has with its locks.
    pub(super) fn grant(&self) -> Grant {
        let mut grant = Grant::new(self.first.fence());
        grant.others = self.others.iter().map(EntryNode::fence).collect();
        grant
    }
}

/// An entry's node in one queue.
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
    /// The hold is over, and the nodes are to stay until then: there until a session is known to keep them for as long, or the
    /// entry leaves.
    pub(super) lapses: Option<Moment>,
    /// Locked while the nodes are moved from one session to another.
    pub(super) owner: Arc<AsyncMutex<NodeOwner>>,
}

impl Extension {
    pub(super) fn new(until: Moment) -> Self {
        Self { until, lapses: None, owner: Arc::new(AsyncMutex::new(NodeOwner::Renewed)) }
    }
}

/// Which session owns the nodes of an extended entry.
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
