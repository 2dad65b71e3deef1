//! An entry that waits for a statement that it shares with others.

use super::error::Failure;
use crate::contract::Entry;
use crate::contract::batches::Batched;
use std::iter::once;
use std::sync::Arc;
use tokio::sync::oneshot;

/// One that waits for a statement that it shares.
pub(super) struct Waiting {
    /// Its row.
    pub(super) name: String,
    pub(super) entry: Arc<Entry>,
    /// Of one that acquires the lock; `None` of one that releases it.
    pub(super) record: Option<String>,
    pub(super) outcome: oneshot::Sender<Result<Outcome, Failure>>,
}

/// What became of one.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// With this fence it acquired the lock, or released it; `None` if nothing was done.
    pub(super) done: Option<u64>,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
}

impl Batched for Waiting {
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
