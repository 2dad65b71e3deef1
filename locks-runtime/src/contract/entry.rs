//! One place in one lock's queue, and what a store answers about it.

use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use std::sync::Arc;

/// One place in one lock's queue. Made before anything is sent, so that a repeated or unanswered request can be found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The lock.
    pub key: Key,
    /// Unique in its session for as long as the process lives; together with the session it names the entry.
    pub number: u64,
    /// Who asks; the store keeps it as JSON.
    pub holder: Arc<Holder>,
    /// Who else may hold the lock meanwhile: [`Mode::holds_behind`] is the rule. Not exclusive only where the store
    /// [claims](super::Capabilities) it.
    pub mode: Mode,
}

impl Entry {
    /// An exclusive entry.
    #[must_use]
    pub fn new(key: Key, number: u64, holder: Arc<Holder>) -> Self {
        Self { key, number, holder, mode: Mode::Exclusive }
    }
}

/// What [`Session::enter`](super::Session::enter) does when the lock is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    /// Leave nothing behind, and say who holds the lock.
    Refuse,
    /// Join the queue.
    Queue,
}

/// The answer to [`Session::enter`](super::Session::enter).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entered {
    /// The entry holds the lock.
    Held(Grant),
    /// The entry is in the queue: [wait for its turn](super::Session::wait_turn).
    Queued,
    /// Another entry is in the way ([`WhenBusy::Refuse`] only): its holder's record.
    Busy(Arc<Holder>),
}

impl Entered {
    /// The entry holds the lock, with this fencing number.
    #[must_use]
    pub fn held(fence: u64) -> Self {
        Self::Held(Grant::new(fence))
    }
}

/// What an entry got with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The store's fencing number.
    pub fence: u64,
}

impl Grant {
    /// The lock, with this fencing number.
    #[must_use]
    pub fn new(fence: u64) -> Self {
        Self { fence }
    }
}
