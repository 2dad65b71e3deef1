//! A request that may share a transaction with others, while it waits for that.

use super::entries::EntryState;
use super::error::Failure;
use super::names::QueueRange;
use super::queue::{Carried, Conditional};
use crate::contract::lanes::Member;
use crate::contract::{Entry, Ledger};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A request that may share a transaction with others.
pub(super) struct Part {
    /// No transaction has two parts of one lock.
    lock: String,
    pub(super) request: Conditional,
    /// The entry that it may put into the store.
    puts: Option<(Arc<Ledger<EntryState>>, Arc<Entry>)>,
}

/// What one of those who wait for a shared transaction is told.
pub(super) enum Outcome {
    Carried(Carried),
    Failed(Failure),
    /// Nothing of it happened, because of another part perhaps.
    Alone,
}

/// A part that waits for a transaction.
pub(super) struct Waiting {
    pub(super) part: Arc<Part>,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

impl Member for Waiting {
    fn lock(&self) -> &str {
        &self.part.lock
    }

    fn weight(&self) -> usize {
        self.part.request.then.len()
    }

    fn is_wanted(&self) -> bool {
        !self.outcome.is_closed()
    }
}

impl Part {
    pub(super) fn of(lock: &QueueRange, request: Conditional) -> Self {
        Self { lock: lock.start().to_owned(), request, puts: None }
    }

    /// The same, which may put the entry into the store.
    pub(super) fn putting(self, entry: &Arc<Entry>, ledger: &Arc<Ledger<EntryState>>) -> Self {
        Self { puts: Some((Arc::clone(ledger), Arc::clone(entry))), ..self }
    }

    /// It is sent, and unresolved until it has a definite answer.
    pub(super) fn note_sent(&self) {
        if let Some((ledger, entry)) = &self.puts {
            ledger.sent(entry);
        }
    }

    pub(super) fn note_resolved(&self) {
        if let Some((ledger, entry)) = &self.puts {
            ledger.resolved(entry.number);
        }
    }
}
