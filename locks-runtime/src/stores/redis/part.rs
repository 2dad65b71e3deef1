//! What is to be done to one lock, in a request that it may share with others, and while it waits for that.

use super::request::Response;
use crate::contract::batches::Batched;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is to be done to one lock.
pub(super) struct Part {
    pub(super) lock: String,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// To acquire it with this value, for so many milliseconds; alone, if it is not free, to do what `when_busy` says.
    Acquire { ttl: u64, value: Vec<u8>, when_busy: &'static str },
    /// To take the entry with this token out; alone, wherever it is in the queue.
    Leave { token: String },
}

/// A part that waits for others.
pub(super) struct Waiting {
    pub(super) part: Arc<Part>,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

/// What becomes of it.
pub(super) enum Outcome {
    Answered(Response),
    /// It was not done, unless an attempt that had no answer does it yet.
    Alone {
        is_unresolved: bool,
    },
}

impl Batched for Waiting {
    fn locks(&self) -> impl Iterator<Item = &str> {
        [&*self.part.lock].into_iter()
    }

    fn weight(&self) -> usize {
        1
    }

    fn is_wanted(&self) -> bool {
        !self.outcome.is_closed()
    }
}

impl Waiting {
    /// Whoever waited for it may have been dropped.
    pub(super) fn end(self, outcome: Outcome) {
        drop(self.outcome.send(outcome));
    }
}

impl AsRef<Self> for Part {
    fn as_ref(&self) -> &Self {
        self
    }
}
