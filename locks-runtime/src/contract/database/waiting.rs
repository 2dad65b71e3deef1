//! An entry that waits for a statement that it shares with others: see [batches].

use crate::contract::Entry;
use crate::contract::batches::{self, Arrival, Batched, Direct, SendsBatches};
use std::iter::once;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How to acquire or release a lock.
pub(crate) enum Way<'a, F> {
    /// Alone, and nothing is shared meanwhile.
    First(Direct<'a, Waiting<F>>),
    /// It was part of a statement.
    Shared(Outcome),
}

/// One that waits for a statement that it shares, which may fail with `F`.
pub(crate) struct Waiting<F> {
    /// Its row.
    pub(crate) name: String,
    pub(crate) entry: Arc<Entry>,
    /// Of one that acquires the lock; `None` of one that releases it.
    pub(crate) record: Option<String>,
    pub(crate) outcome: oneshot::Sender<Result<Outcome, F>>,
}

/// What became of one.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// With this fence it acquired the lock, or released it; `None` if nothing was done.
    pub(crate) done: Option<u64>,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(crate) is_unresolved: bool,
}

/// Acquires the lock for the entry, with this record, if it is free; `None`: releases it, if nobody waits.
pub(crate) async fn share<'a, F: Send + 'static>(
    session: &'a Arc<impl SendsBatches<Request = Waiting<F>>>,
    entry: &Arc<Entry>,
    name: &str,
    record: Option<&str>,
) -> Result<Way<'a, F>, F> {
    let waiting = || {
        let (outcome, receiver) = oneshot::channel();
        let (name, record) = (name.to_owned(), record.map(str::to_owned));
        (Waiting { name, entry: Arc::clone(entry), record, outcome }, receiver)
    };
    match batches::arrive(session, waiting) {
        Arrival::First(direct) => Ok(Way::First(direct)),
        // A task that is gone has reported nothing.
        Arrival::Behind(outcome) => {
            outcome.await.unwrap_or(Ok(Outcome { done: None, is_unresolved: true })).map(Way::Shared)
        }
    }
}

impl<F: Send + 'static> Batched for Waiting<F> {
    fn locks(&self) -> impl Iterator<Item = &str> {
        once(self.name.as_str())
    }

    fn weight(&self) -> usize {
        1
    }

    fn is_wanted(&self) -> bool {
        !self.outcome.is_closed()
    }
}
