//! What is known of the entries of one session.

use super::notification::Notification;
use crate::contract::Ledger;
use crate::world::clock::Moment;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The entries of one session, and what wakes the task that polls for them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) ledger: Ledger<EntryState>,
    /// The task ends when this is dropped, with the session.
    wake: watch::Sender<()>,
    /// Notifications may have been missed: every entry is due to be polled.
    poll_all: AtomicBool,
}

/// What is known of an entry from before it is first sent until it has left.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    status: watch::Sender<Status>,
    /// When to ask the server about it, although no notification came.
    pub(super) poll_at: Option<Moment>,
}

/// The status of an entry, as far as the server has replied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// It may be sent, and no reply has come.
    #[default]
    Requested,
    Queued,
    /// It holds the lock, with this fence.
    Held(u64),
    /// It is not in the store any more although it has not left.
    Gone,
    /// It leaves.
    Leaving,
}

impl Entries {
    pub(super) fn status(&self, number: u64) -> Option<Status> {
        self.ledger.get(number, |state| state.status())
    }

    /// Notes what the server replied about the entry, if it is still known.
    pub(super) fn note(&self, number: u64, status: Status) {
        self.ledger.get(number, |state| state.note(status));
    }

    /// The status of the entry from now on; it ends when the entry has left, or the session is closed.
    pub(super) fn subscribe(&self, number: u64) -> Option<watch::Receiver<Status>> {
        self.ledger.get(number, |state| state.status.subscribe())
    }

    /// The server sent a notification.
    pub(super) fn notified(&self, number: u64, notification: Notification, now: Moment) {
        match notification {
            Notification::Granted(fence) => self.note(number, Status::Held(fence)),
            Notification::Removed => self.note(number, Status::Gone),
            Notification::FirstInQueue(wait) => {
                self.ledger.get(number, |state| state.poll_at = Some(now + wait));
                self.wake();
            }
        }
    }

    /// Makes the task that polls find out anew what is due.
    pub(super) fn wake(&self) {
        self.wake.send_replace(());
    }

    pub(super) fn wakes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Notifications may have been missed: every entry is due to be polled.
    pub(super) fn notifications_missed(&self) {
        self.poll_all.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether every entry is due to be polled.
    pub(super) fn must_poll_all(&self) -> bool {
        self.poll_all.load(Ordering::Acquire)
    }

    /// The same; from now on they are not due any more.
    pub(super) fn take_poll_all(&self) -> bool {
        self.poll_all.swap(false, Ordering::AcqRel)
    }
}

impl EntryState {
    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Notes a status, which may be older than what is known: an entry that holds is never queued again, and one that is
    /// gone or leaves stays so.
    pub(super) fn note(&mut self, new: Status) {
        let is_newer = match (self.status(), new) {
            (Status::Gone | Status::Leaving, _) => false,
            (Status::Held(_), Status::Held(_) | Status::Queued | Status::Requested) => false,
            (known, new) => known != new,
        };
        if is_newer {
            self.status.send_replace(new);
        }
        if new != Status::Queued {
            self.poll_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Entry;
    use crate::values::holder::Holder;
    use crate::values::key::Key;
    use std::sync::Arc;
    use std::time::Duration;

    fn entries() -> Entries {
        let entries = Entries::default();
        entries.ledger.sent(&Arc::new(Entry::new(Key::new("a").unwrap(), 1, Holder::unknown().into())));
        entries
    }

    #[test]
    fn an_older_reply_does_not_undo_a_hold_nor_a_loss() {
        let entries = entries();
        entries.note(1, Status::Held(7));
        entries.note(1, Status::Queued);
        assert_eq!(entries.status(1), Some(Status::Held(7)));
        entries.note(1, Status::Gone);
        entries.note(1, Status::Held(7));
        assert_eq!(entries.status(1), Some(Status::Gone));
    }

    #[test]
    fn an_entry_that_leaves_is_not_granted_any_more() {
        let entries = entries();
        entries.note(1, Status::Queued);
        entries.ledger.leaving(1, |state| state.note(Status::Leaving));
        entries.notified(1, Notification::Granted(7), Moment::from_nanos(0));
        assert_eq!(entries.status(1), Some(Status::Leaving));
    }

    #[test]
    fn the_first_in_the_queue_polls_when_the_hold_before_it_lapses() {
        let (entries, now) = (entries(), Moment::from_nanos(5));
        entries.note(1, Status::Queued);
        let mut wakes = entries.wakes();
        entries.notified(1, Notification::FirstInQueue(Duration::from_millis(20)), now);
        let poll_at = entries.ledger.get(1, |state| state.poll_at).flatten();
        assert_eq!(poll_at, Some(now + Duration::from_millis(20)));
        assert!(wakes.has_changed().unwrap());
        wakes.mark_unchanged();
        entries.notified(2, Notification::Granted(1), now);
        assert_eq!(entries.status(2), None, "another session's");
    }
}
