//! What a client of another project does, as events of the history.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// A step of a turn: of one lock that was requested once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The client is told to acquire this lock.
    Requested {
        /// The lock.
        key: String,
        /// Whether it is told that it holds the lock although its entry was gone before its turn came.
        #[serde(default)]
        unchecked: bool,
    },
    /// The client has said that it holds the lock, and a body runs. If it never renews what it holds, that is over at
    /// `until`.
    Held {
        /// The end of its TTL, counted from its request.
        until: Option<Nanos>,
    },
    /// The body is over. The client is told to release the lock next.
    Left,
    /// The client has said that it has released the lock, or that it failed to acquire or to release it.
    Over {
        /// What it said, if it failed.
        error: Option<String>,
    },
}
