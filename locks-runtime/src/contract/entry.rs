//! A place in the queue of one lock, or of several at one moment, and what a store answers about it.

use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place in the queue of a lock, or of several at one moment. Made before anything is sent, so that a repeated or unanswered
/// request can be found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The lock; of several the first, in the order of their names.
    pub key: Key,
    /// The other locks, in the order of their names, each once. There only where the store [claims](super::Capabilities) it.
    ///
    /// The entry joins the queues of all of them in one step of the store, so that the order of any two such entries is the same in
    /// each, and they never wait for each other. It holds when it holds each, and leaves them together.
    pub others: Box<[Key]>,
    /// Unique in its session for as long as the process lives; together with the session it names the entry.
    pub number: u64,
    /// Who asks; the store keeps it as JSON.
    pub holder: Arc<Holder>,
    /// Who else may hold the lock meanwhile: [`Mode::holds_behind`] is the rule. Not exclusive only where the store
    /// [claims](super::Capabilities) it.
    pub mode: Mode,
    /// Those of its locks whose queue it has left before the others: a bit for each, in the order of its keys.
    pub(crate) left: AtomicU64,
}

impl Entry {
    /// An exclusive entry.
    #[must_use]
    pub fn new(key: Key, number: u64, holder: Arc<Holder>) -> Self {
        Self { key, others: Box::default(), number, holder, mode: Mode::Exclusive, left: AtomicU64::new(0) }
    }

    /// All its locks, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &Key> + Clone {
        std::iter::once(&self.key).chain(&self.others)
    }

    /// Of an entry for several locks that could not [leave](super::Session::leave) all of them: it is out of this one's queue, and
    /// stays out. Others of this process need not wait for the rest to use this lock.
    pub fn note_left(&self, key: &Key) {
        if let Some(at) = self.noted_keys().position(|known| known == key) {
            self.left.fetch_or(1 << at, Ordering::Relaxed);
        }
    }

    /// Whether [that](Entry::note_left) was noted of all its locks.
    #[cfg(feature = "redis")]
    pub(crate) fn has_left(&self) -> bool {
        self.left_keys().count() == 1 + self.others.len()
    }

    /// The locks of which it was noted.
    pub(crate) fn left_keys(&self) -> impl Iterator<Item = &Key> {
        let left = self.left.load(Ordering::Relaxed);
        self.noted_keys().enumerate().filter(move |(at, _)| left & (1 << at) != 0).map(|(_, key)| key)
    }

    /// Those that have a bit. The rest is left with the last of them.
    fn noted_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys().take(u64::BITS as usize)
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The store's fencing number.
    pub fence: u64,
    /// Those of the [other locks](Entry::others), in their order.
    pub others: Box<[u64]>,
}

impl Grant {
    /// The lock, with this fencing number.
    #[must_use]
    pub fn new(fence: u64) -> Self {
        Self { fence, others: Box::default() }
    }

    /// The locks of an entry, with these fencing numbers in the order of its [keys](Entry::keys): `None` if there are none.
    #[must_use]
    pub fn of_several(fences: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut fences = fences.into_iter();
        Some(Self { fence: fences.next()?, others: fences.collect() })
    }
}
