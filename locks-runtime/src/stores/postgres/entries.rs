//! What a session knows of its entries, from before each is first sent until it is definitely gone.

use crate::contract::{Entry, Ledger};
use crate::world::clock::Moment;
use std::sync::Arc;
use tokio::sync::watch;

/// The entries of one session.
pub(super) type Entries = Ledger<EntryState>;

/// The status of an entry, for whoever wants to see it change.
#[derive(Debug, Default)]
pub(super) struct EntryState(watch::Sender<Status>);

/// What is known of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Status {
    /// It was sent, and nothing is known.
    #[default]
    Sent,
    /// It is in the queue with so many entries ahead of it, behind a hold that lapses at `until` unless it is renewed.
    Queued { ahead: u32, until: Moment },
    /// It holds the lock, with this fence.
    Held(u64),
    /// It is gone from the store although it has not left.
    Removed(&'static str),
    /// It was released or withdrawn.
    Left,
}

impl EntryState {
    pub(super) fn status(&self) -> Status {
        *self.0.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// Notes what the store has shown, unless more is known already: answers may overtake each other. What is over stays
    /// over, and a holder does not wait again.
    pub(super) fn advance(&self, next: Status) {
        self.0.send_if_modified(|status| {
            let is_allowed = match *status {
                Status::Removed(_) | Status::Left => false,
                Status::Held(_) => !matches!(next, Status::Queued { .. }),
                Status::Sent | Status::Queued { .. } => true,
            };
            if is_allowed {
                *status = next;
            }
            is_allowed
        });
    }

    /// The entry leaves: nothing that the store shows matters any more.
    pub(super) fn leave(&self) {
        self.0.send_replace(Status::Left);
    }
}

/// The entries to renew: those that are in the store, or may be. A renewal moves the session's deadline on, so it must move
/// on that of an entry too whose answer has not come yet.
pub(super) fn renewable(entries: &Entries) -> Vec<Arc<Entry>> {
    entries.collect(|entry, state, _| match state.status() {
        Status::Removed(_) | Status::Left => None,
        Status::Sent | Status::Queued { .. } | Status::Held(_) => Some(Arc::clone(entry)),
    })
}

/// The numbers of the entries that a renewal must find, for they are in the store for certain. Where the store has no
/// queue (`has_queue`), these are the holders.
pub(super) fn confirmed(entries: &Entries, has_queue: bool) -> Vec<u64> {
    entries.collect(|entry, state, _| match state.status() {
        Status::Held(_) => Some(entry.number),
        Status::Queued { .. } => has_queue.then_some(entry.number),
        Status::Sent | Status::Removed(_) | Status::Left => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::holder::Holder;
    use crate::values::key::Key;

    fn entry(number: u64) -> Arc<Entry> {
        Arc::new(Entry::new(Key::new("a").unwrap(), number, Holder::unknown().into()))
    }

    #[test]
    fn a_renewal_covers_what_was_sent_and_only_what_is_confirmed_can_be_missed() {
        let entries = Entries::default();
        let queued = Status::Queued { ahead: 1, until: Moment::from_nanos(0) };
        for (number, status) in [(1, Status::Held(7)), (2, queued), (3, Status::Left), (4, Status::Removed("gone"))] {
            entries.sent(&entry(number));
            entries.get(number, |state| state.advance(status));
        }
        entries.sent(&entry(5));
        let renewable: Vec<u64> = renewable(&entries).iter().map(|entry| entry.number).collect();
        assert_eq!(renewable, [1, 2, 5]);
        assert_eq!(confirmed(&entries, true), [1, 2]);
        assert_eq!(confirmed(&entries, false), [1]);
    }

    #[test]
    fn what_is_over_stays_over_and_a_holder_does_not_wait_again() {
        let state = EntryState::default();
        let queued = Status::Queued { ahead: 0, until: Moment::from_nanos(0) };
        for (next, expected) in [
            (queued, queued),
            (Status::Held(1), Status::Held(1)),
            (queued, Status::Held(1)),
            (Status::Removed("gone"), Status::Removed("gone")),
            (Status::Held(1), Status::Removed("gone")),
        ] {
            state.advance(next);
            assert_eq!(state.status(), expected);
        }
        state.leave();
        state.advance(Status::Held(1));
        assert_eq!(state.status(), Status::Left);
    }
}
