//! What is known of the entries of one session.

use super::notification::Notification;
use crate::contract::{Grant, Ledger};
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
    /// Of several locks: the fences of the others, if it holds.
    others: Box<[u64]>,
    /// When to ask the server about it, although no notification came.
    pub(super) poll_at: Option<Moment>,
    /// When to ask the server about it because of a notification, which anybody may have sent.
    pub(super) hinted_at: Option<Moment>,
    /// Only the holder is before it, as the server replied last.
    pub(super) is_first: bool,
    /// It has not waited: probably nobody else has to do with the hold, and its release may be sent with others.
    pub(super) is_unqueued: bool,
    /// Until when the key of a held lock lasts, as far as that is known.
    pub(super) lasts_until: Option<Moment>,
    /// What was seen last of a holder that does not notify, and since when it has been there.
    pub(super) holder: Option<(Vec<u8>, Moment)>,
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
    /// Its hold is over, and it lapses by itself: it is not renewed any more.
    Lapsing,
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

    /// A notification came: whoever sent it, it is only a reason to ask the server.
    pub(super) fn notified(&self, number: u64, notification: Notification, now: Moment) {
        let due = match notification {
            Notification::Changed => now,
            Notification::FirstInQueue(wait) => now + wait,
        };
        let is_sooner = |state: &mut EntryState| {
            let is_sooner = state.hinted_at.is_none_or(|known| due < known);
            if is_sooner {
                state.hinted_at = Some(due);
            }
            is_sooner
        };
        if self.ledger.get(number, is_sooner) == Some(true) {
            self.wake();
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

    /// What it holds, if it does.
    pub(super) fn grant(&self) -> Option<Grant> {
        match self.status() {
            Status::Held(fence) => Grant::of_several(std::iter::once(fence).chain(self.others.iter().copied())),
            _ => None,
        }
    }

    /// Notes that it holds. What was granted first counts.
    pub(super) fn note_held(&mut self, grant: &Grant) {
        if !matches!(self.status(), Status::Held(_)) {
            self.others.clone_from(&grant.others);
        }
        self.note(Status::Held(grant.fence));
    }

    /// Notes a status, which may be older than what is known: an entry that holds is never queued again, and one that is
    /// gone or leaves stays so.
    pub(super) fn note(&mut self, new: Status) {
        let is_newer = match (self.status(), new) {
            (Status::Gone | Status::Leaving, _) => false,
            (Status::Lapsing, new) => new == Status::Leaving,
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
    fn an_entry_that_leaves_or_lapses_is_not_granted_any_more() {
        let entries = entries();
        entries.note(1, Status::Held(7));
        entries.note(1, Status::Lapsing);
        entries.note(1, Status::Gone);
        assert_eq!(entries.status(1), Some(Status::Lapsing));
        entries.ledger.leaving(1, |state| state.note(Status::Leaving));
        entries.note(1, Status::Held(7));
        assert_eq!(entries.status(1), Some(Status::Leaving));
    }

    #[test]
    fn a_notification_decides_nothing_but_makes_a_client_ask() {
        let (entries, now) = (entries(), Moment::from_nanos(5));
        entries.note(1, Status::Queued);
        let mut wakes = entries.wakes();
        let hinted_at = || entries.ledger.get(1, |state| state.hinted_at).flatten();
        entries.notified(1, Notification::FirstInQueue(Duration::from_millis(20)), now);
        assert_eq!(hinted_at(), Some(now + Duration::from_millis(20)));
        assert!(wakes.has_changed().unwrap());
        wakes.mark_unchanged();
        for later in [Duration::from_secs(1), Duration::MAX] {
            entries.notified(1, Notification::FirstInQueue(later), now);
        }
        assert!(!wakes.has_changed().unwrap(), "it is asked about before that");
        entries.notified(1, Notification::Changed, now);
        assert_eq!((hinted_at(), entries.status(1)), (Some(now), Some(Status::Queued)));
        entries.notified(2, Notification::Changed, now);
        assert_eq!(entries.status(2), None, "another session's");
    }
}
