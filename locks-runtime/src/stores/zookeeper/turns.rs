//! Locks that one process acquires again and again while nobody else does: their queue need not be listed each time.
//!
//! A lock's node numbers its children. If an entry has the number after that of the last hold, no other child was created in
//! between, and nobody can be ahead of it; unless the node itself was deleted meanwhile and made again, for then it counts from
//! zero. So the node is watched. That it was deleted is reported before the answer to any request that was carried out later,
//! over one connection: what was seen over another one counts for nothing, since an older copy of the data may answer there.

use super::watched::Reservation;
use crate::values::mutex::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Waker};

/// How many locks are remembered. Beyond that all are forgotten, and their queues listed again.
const MOST: usize = 1024;

/// The last holds, by the path of the lock's node: each was alone, and has left.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Turn>>);

/// A hold of which it is known that nobody was ahead of it when it began.
pub(super) struct Turn {
    pub(super) sequence: i32,
    /// Whether it came right after another one of ours. Then the next one is likely to do so too.
    pub(super) in_a_row: bool,
    /// The connection over which that was seen, and all that follows.
    pub(super) connection: u64,
    /// On the lock's node, since this hold or one before it.
    pub(super) watch: Option<Watch>,
}

/// A watch on a lock's node.
pub(super) struct Watch {
    changed: Pin<Box<dyn Future<Output = ()> + Send>>,
    _room: Reservation,
}

impl Turns {
    /// The last hold of this lock, if it is known; from now on it is not.
    pub(super) fn take(&self, node: &str) -> Option<Turn> {
        self.0.lock().remove(node)
    }

    /// The hold has left.
    pub(super) fn left(&self, node: String, turn: Turn) {
        let mut turns = self.0.lock();
        if turns.len() >= MOST {
            turns.clear();
        }
        turns.insert(node, turn);
    }
}

impl Turn {
    /// Whether the entry with this `sequence` comes right after it, unless the lock's node is another one.
    pub(super) fn is_followed_by(&self, sequence: i32) -> bool {
        self.sequence.checked_add(1) == Some(sequence)
    }

    /// Whether the lock's node is known to have been the same until now, over this `connection`.
    pub(super) fn is_of_same_node(&mut self, connection: u64) -> bool {
        self.connection == connection && self.watch.as_mut().is_some_and(|watch| !watch.has_fired())
    }
}

impl Watch {
    pub(super) fn new(changed: impl Future<Output = ()> + Send + 'static, room: Reservation) -> Self {
        Self { changed: Box::pin(changed), _room: room }
    }

    fn has_fired(&mut self) -> bool {
        self.changed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_watched = self.watch.is_some();
        f.debug_struct("Turn")
            .field("sequence", &self.sequence)
            .field("is_watched", &is_watched)
            .finish_non_exhaustive()
    }
}
