//! What is to be done to the locks of one entry, in a request that it may share with other entries, and while it waits for
//! that.

use super::request::Response;
use crate::contract::batches::Batched;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is to be done to the locks of one entry.
pub(super) struct Part {
    pub(super) lock: String,
    /// All or none of several: in a request of their own.
    pub(super) others: Vec<String>,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// To acquire it for the entry with this token, for so many milliseconds; alone, if it is not free, to do what `when_busy`
    /// says.
    Acquire { ttl: u64, token: String, record: Vec<u8>, when_busy: &'static str },
    /// To take the entry with this token out; alone, wherever it is in the queue.
    Leave { token: String },
}

impl Part {
    /// Those are the locks, of which there is at least one.
    pub(super) fn new(mut locks: Vec<String>, work: Work) -> Self {
        let others = locks.split_off(1);
        Self { lock: locks.remove(0), others, work }
    }

    pub(super) fn locks(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.lock).chain(&self.others)
    }
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
        std::iter::once(&*self.part.lock)
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
