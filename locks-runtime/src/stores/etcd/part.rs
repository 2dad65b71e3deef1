//! A request that may share a transaction with others, while it waits for that.

use super::entries::EntryState;
use super::error::Failure;
use super::names::QueueRange;
use super::queue::{Carried, Conditional};
use crate::contract::batches::Batched;
use crate::contract::{Entry, Ledger};
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A request that may share a transaction with others.
pub(super) struct Part {
    /// No transaction has two parts of one lock.
    locks: Vec<String>,
    pub(super) request: Conditional,
    /// The entry that it may put into the store.
    puts: Option<(Arc<Ledger<EntryState>>, Arc<Entry>)>,
}

/// What becomes of a part in a transaction that others share.
pub(super) enum Outcome {
    Carried(Carried),
    Failed(Failure),
    /// Nothing of it happened, because of another part perhaps.
    Alone,
}

/// A part that waits for a transaction.
pub(super) struct Waiting {
    part: Handed,
    outcome: oneshot::Sender<Outcome>,
}

/// A part that somebody else sends. It is unresolved until this is dropped: its entry may leave before it is sent, and would
/// then come back without an owner.
struct Handed(Arc<Part>);

impl Handed {
    fn over(part: &Arc<Part>) -> Self {
        if let Some((ledger, entry)) = &part.puts {
            ledger.sent(entry);
        }
        Self(Arc::clone(part))
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.0.note_resolved();
    }
}

impl Waiting {
    pub(super) fn new(part: &Arc<Part>) -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, receiver) = oneshot::channel();
        (Self { part: Handed::over(part), outcome }, receiver)
    }

    /// What became of it: first that nothing of it is under way any more. Whoever waited may have been dropped.
    pub(super) fn end(self, outcome: Outcome) {
        drop(self.part);
        drop(self.outcome.send(outcome));
    }
}

impl Deref for Waiting {
    type Target = Part;

    fn deref(&self) -> &Part {
        &self.part.0
    }
}

impl Batched for Waiting {
    fn locks(&self) -> impl Iterator<Item = &str> {
        self.part.0.locks.iter().map(String::as_str)
    }

    fn weight(&self) -> usize {
        self.part.0.request.then.len()
    }

    fn is_wanted(&self) -> bool {
        !self.outcome.is_closed()
    }
}

impl Part {
    pub(super) fn of(lock: &QueueRange, request: Conditional) -> Self {
        Self::about(std::slice::from_ref(lock), request)
    }

    pub(super) fn about(locks: &[QueueRange], request: Conditional) -> Self {
        let locks = locks.iter().map(|lock| lock.start().to_owned()).collect();
        Self { locks, request, puts: None }
    }

    /// The same, which may put the entry into the store.
    pub(super) fn putting(self, entry: &Arc<Entry>, ledger: &Arc<Ledger<EntryState>>) -> Self {
        Self { puts: Some((Arc::clone(ledger), Arc::clone(entry))), ..self }
    }

    /// It is sent, and unresolved until it has a definite answer.
    pub(super) fn note_sent(&self) {
        if let Some((ledger, entry)) = &self.puts {
            ledger.sent_again(entry.number);
        }
    }

    pub(super) fn note_resolved(&self) {
        if let Some((ledger, entry)) = &self.puts {
            ledger.resolved(entry.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::etcd::queue;
    use crate::values::holder::Holder;
    use crate::values::key::Key;
    use crate::values::mode::Mode;

    fn handed() -> (Arc<Ledger<EntryState>>, Arc<Entry>, Arc<Part>) {
        let key = Key::new("k").unwrap();
        let entry = Arc::new(Entry::new(key, 7, Holder::default().into()));
        let (ledger, range) = (Arc::new(Ledger::default()), QueueRange::new("", &entry.key));
        ledger.update(&entry, |_: &mut EntryState| ());
        let part =
            Part::of(&range, queue::join(&range, Mode::Exclusive, "k/1-7", Vec::new(), 1)).putting(&entry, &ledger);
        (ledger, entry, Arc::new(part))
    }

    /// As when its sender waits for a connection, and its caller is dropped meanwhile.
    #[test]
    fn an_entry_that_left_before_it_was_sent_is_an_orphan() {
        let (ledger, entry, part) = handed();
        let handed = Handed::over(&part);
        ledger.left(entry.number);
        part.note_sent();
        part.note_resolved();
        drop(handed);
        assert!(!ledger.contains(entry.number), "nobody would let it leave");
        assert_eq!(ledger.orphans().len(), 1);
    }

    #[test]
    fn one_that_is_never_sent_is_resolved() {
        let (ledger, entry, part) = handed();
        drop(Handed::over(&part));
        ledger.left(entry.number);
        assert_eq!(ledger.orphans().len(), 0);
    }
}
