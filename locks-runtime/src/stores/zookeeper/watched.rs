//! How much one session watches: no more than the client crate can re-establish.
//!
//! After a broken connection the crate sets its watches again, in requests of 128 KiB of paths each. All these requests
//! have the same number, so that the second answer would break the connection again. There are therefore never more
//! watches than fit into one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of paths one session watches at most.
const MOST_BYTES: usize = 96 * 1024;

/// How many of them may be those of locks' nodes, which are watched to save requests only.
const MOST_BYTES_TO_SAVE: usize = MOST_BYTES / 4;

/// How many bytes the paths of all nodes have that a session watches.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedBytes(Arc<AtomicUsize>);

/// Part of the bytes that may be watched.
#[derive(Debug)]
pub(super) struct Reservation {
    watched: WatchedBytes,
    bytes: usize,
}

impl WatchedBytes {
    /// Room for a watch on an entry's node.
    pub(super) fn reserve(&self, path: &str) -> Option<Reservation> {
        self.take(path.len(), MOST_BYTES)
    }

    /// Whether there is room for a watch on an entry's node now.
    pub(super) fn has_room(&self, path: &str) -> bool {
        self.0.load(Ordering::Acquire) + path.len() <= MOST_BYTES
    }

    /// Room for a watch on a lock's node, if there is plenty.
    pub(super) fn reserve_to_save(&self, path: &str) -> Option<Reservation> {
        self.take(path.len(), MOST_BYTES_TO_SAVE)
    }

    fn take(&self, bytes: usize, most: usize) -> Option<Reservation> {
        let room = |watched: usize| (watched + bytes <= most).then_some(watched + bytes);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(Reservation { watched: self.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.watched.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
