//! One server, and the connection to it.

use super::part::Waiting;
use crate::contract::batches::Batches;
use crate::values::mutex::Mutex;
use redis::aio::MultiplexedConnection;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;

/// A connection that is there, or is being made.
pub(super) type Connection = Arc<OnceCell<Made>>;

/// A connection that was made.
pub(super) struct Made {
    pub(super) connection: MultiplexedConnection,
    /// Where it leads.
    pub(super) endpoint: String,
}

/// One server, with one connection for all requests, which are pipelined on it in the order in which they were begun.
pub(super) struct Node {
    /// As the URL or the cluster names it; `None` for the primary that sentinels name.
    pub(super) endpoint: Option<String>,
    connection: Mutex<Connection>,
    /// For what has to be on replicas before it counts: a request that waits for them stops those behind it.
    replicated: Mutex<Connection>,
    /// What shares a request.
    pub(super) batches: Batches<Waiting>,
    is_failing: AtomicBool,
}

impl Node {
    pub(super) fn at(endpoint: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            connection: Mutex::default(),
            replicated: Mutex::default(),
            batches: Batches::default(),
            is_failing: AtomicBool::new(false),
        })
    }

    fn slot(&self, is_replicated: bool) -> &Mutex<Connection> {
        if is_replicated { &self.replicated } else { &self.connection }
    }

    pub(super) fn connection(&self, is_replicated: bool) -> Connection {
        Arc::clone(&self.slot(is_replicated).lock())
    }

    /// Whether it is that by which requests are sent.
    pub(super) fn is_current(&self, connection: &Connection) -> bool {
        [true, false].iter().any(|is_replicated| Arc::ptr_eq(&self.slot(*is_replicated).lock(), connection))
    }

    /// The next request takes a new connection; returns whether it would not have otherwise.
    pub(super) fn disconnect(&self, connection: &Connection) -> bool {
        [true, false].iter().any(|is_replicated| {
            let mut current = self.slot(*is_replicated).lock();
            let is_current = Arc::ptr_eq(&current, connection);
            if is_current {
                *current = Arc::default();
            }
            is_current
        })
    }

    /// All requests take new connections from now on, or one that is being made.
    pub(super) fn disconnect_all(&self) {
        for is_replicated in [true, false] {
            let mut current = self.slot(is_replicated).lock();
            if current.initialized() {
                *current = Arc::default();
            }
        }
    }

    /// Whether the last request to it had no answer.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    pub(super) fn note(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Release);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
