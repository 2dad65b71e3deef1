//! Whether the ensemble still is the one that was seen before.
//!
//! Its transactions are numbered, and the fences are such numbers. An ensemble whose data was lost, or came back from an older
//! copy, begins again with smaller ones: what is held in it now is no later than what was held before.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The latest transaction that any session of a store has seen.
#[derive(Debug, Default)]
pub(super) struct History {
    latest: AtomicI64,
    /// How often it was seen to go back.
    restarts: AtomicU64,
}

impl History {
    /// Before a request is sent: its own transaction must be later than this one.
    pub(super) fn latest(&self) -> i64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// Notes the transaction of a request before which `latest` was seen; `false` if the ensemble has gone back. Then all
    /// sessions before are over, and it begins anew.
    pub(super) fn note(&self, latest: i64, transaction: i64) -> bool {
        if transaction > latest {
            self.latest.fetch_max(transaction, Ordering::SeqCst);
            return true;
        }
        self.latest.store(transaction, Ordering::SeqCst);
        self.restarts.fetch_add(1, Ordering::SeqCst);
        false
    }

    /// Distinguishes the sessions before the ensemble went back from those after it.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_before_a_request_must_be_earlier() {
        let history = History::default();
        let before = history.latest();
        assert!(history.note(before, 8) && history.note(before, 7), "two that were under way at once");
        assert_eq!((history.latest(), history.restarts()), (8, 0));
        assert!(!history.note(history.latest(), 3));
        assert_eq!((history.latest(), history.restarts()), (3, 1));
        assert!(history.note(history.latest(), 4));
    }
}
