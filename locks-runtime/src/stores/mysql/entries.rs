//! What a session knows of its entries, from before each is first sent until it is definitely gone.

use super::error::OTHER_FENCE;
use crate::contract::{Entry, Grant, Ledger};
use crate::world::clock::Moment;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The entries of one session.
pub(super) type Entries = Ledger<EntryState>;

/// What is known of an entry, for whoever wants to see it change.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    status: watch::Sender<Status>,
    /// It was in the queue, where others may be.
    has_waited: bool,
    /// It is of several locks, and no row alone shows whether it holds them.
    pub(super) is_several: bool,
    /// When to look next whether it is its turn.
    pub(super) look_at: Option<Moment>,
    /// The fences of its other locks, once it holds.
    others: OnceLock<Box<[u64]>>,
}

/// What the store has shown of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Status {
    /// It was sent, and nothing is known.
    #[default]
    Sent,
    /// It is in the queue with so many entries ahead of it, behind a hold that lapses at `until` unless it is renewed.
    Queued { ahead: u32, until: Moment },
    /// It holds the lock, with this fence; of several all of them, with this one of the first.
    Held(u64),
    /// Its hold is over; it stays until then, without being renewed.
    Lapsing { until: Moment },
    /// It is gone from the store although it has not left.
    Removed(&'static str),
    /// It was released or withdrawn.
    Left,
}

impl EntryState {
    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Whether it holds the lock, and acquired it without waiting: perhaps nobody else waits either.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.status(), Status::Held(_)) && !self.has_waited
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Notes what the store has shown, unless more is known already: answers may overtake each other. What is over stays
    /// over, and a holder does not wait again; its fence never changes.
    pub(super) fn advance(&mut self, next: Status) {
        self.has_waited |= matches!(next, Status::Queued { .. });
        self.status.send_if_modified(|status| {
            let next = match (*status, next) {
                (Status::Removed(_) | Status::Left, _) => return false,
                (Status::Lapsing { .. }, next) if !matches!(next, Status::Lapsing { .. }) => return false,
                (Status::Held(_), Status::Queued { .. } | Status::Sent) => return false,
                (Status::Held(fence), Status::Held(other)) if fence != other => Status::Removed(OTHER_FENCE),
                (_, next) => next,
            };
            std::mem::replace(status, next) != next
        });
    }

    /// As [`advance`](Self::advance), with the fences of its other locks if it holds them.
    pub(super) fn show(&mut self, next: Status, others: &[u64]) {
        let is_held = matches!(next, Status::Held(_));
        let is_same = !is_held || others.is_empty() || **self.others.get_or_init(|| others.into()) == *others;
        self.advance(if is_same { next } else { Status::Removed(OTHER_FENCE) });
    }

    /// What it got with this fence of its first lock.
    pub(super) fn grant(&self, fence: u64) -> Grant {
        Grant { others: self.others.get().cloned().unwrap_or_default(), ..Grant::new(fence) }
    }

    /// The entry leaves: nothing that the store shows matters any more.
    pub(super) fn leave(&mut self) {
        self.status.send_replace(Status::Left);
    }
}

/// The entries to renew: those that are in the store, or may be. A renewal moves the session's deadline on, so it must move
/// on that of an entry too whose answer has not come yet. Where the store has no queue (`has_queue`), no waiter is there.
pub(super) fn renewable(entries: &Entries, has_queue: bool) -> Vec<Arc<Entry>> {
    entries.collect(|entry, state, _| match state.status() {
        Status::Removed(_) | Status::Left | Status::Lapsing { .. } => None,
        Status::Queued { .. } if !has_queue => None,
        Status::Sent | Status::Queued { .. } | Status::Held(_) => Some(Arc::clone(entry)),
    })
}

/// Forgets the entries that have lapsed.
pub(super) fn forget_lapsed(entries: &Entries, now: Moment) {
    let lapsed = entries.collect(|entry, state, _| match state.status() {
        Status::Lapsing { until } if until <= now => Some(entry.number),
        _ => None,
    });
    for number in lapsed {
        entries.left(number);
    }
}

/// The entries that a renewal must find, for they are in the store for certain.
#[derive(Debug, Default)]
pub(super) struct Confirmed(pub(super) Vec<MustBeFound>);

/// An entry that a renewal must find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MustBeFound {
    pub(super) number: u64,
    /// In so many rows.
    pub(super) locks: usize,
    /// In a queue will do.
    pub(super) may_wait: bool,
}

impl Confirmed {
    /// Those that the store has shown until now. Where it has no queue (`has_queue`), there are no waiters.
    pub(super) fn of(entries: &Entries, has_queue: bool) -> Self {
        Self(entries.collect(|entry, state, _| {
            let may_wait = match state.status() {
                Status::Held(_) => false,
                Status::Queued { .. } if has_queue => true,
                _ => return None,
            };
            Some(MustBeFound { number: entry.number, locks: entry.keys().count(), may_wait })
        }))
    }
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
        let renewed =
            |has_queue| -> Vec<u64> { renewable(&entries, has_queue).iter().map(|entry| entry.number).collect() };
        assert_eq!((renewed(true), renewed(false)), (vec![1, 2, 5], vec![1, 5]));
        let held = MustBeFound { number: 1, locks: 1, may_wait: false };
        assert_eq!(Confirmed::of(&entries, true).0, [held, MustBeFound { number: 2, locks: 1, may_wait: true }]);
        assert_eq!(Confirmed::of(&entries, false).0, [held]);
    }

    #[test]
    fn what_is_over_stays_over_and_a_holder_does_not_wait_again() {
        let mut state = EntryState::default();
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

    #[test]
    fn a_hold_whose_fence_changes_is_no_longer_that_hold() {
        let mut state = EntryState::default();
        state.advance(Status::Held(7));
        state.advance(Status::Held(8));
        assert_eq!(state.status(), Status::Removed(OTHER_FENCE));
    }

    #[test]
    fn what_lapses_is_not_renewed_and_is_forgotten_when_it_is_over() {
        let (entries, until) = (Entries::default(), Moment::from_nanos(9));
        entries.sent(&entry(1));
        entries.resolved(1);
        entries.get(1, |state| state.advance(Status::Held(7)));
        entries.get(1, |state| state.advance(Status::Lapsing { until }));
        entries.get(1, |state| state.advance(Status::Held(7)));
        assert!(renewable(&entries, true).is_empty());
        forget_lapsed(&entries, Moment::from_nanos(8));
        assert!(entries.contains(1));
        forget_lapsed(&entries, until);
        assert!(entries.is_empty());
    }
}
