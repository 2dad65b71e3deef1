//! What a session knows of its entries, from before each is first sent until it is definitely gone.

use super::lease::Lease;
use super::time;
use crate::contract::{Entry, Ledger};
use crate::world::clock::Moment;
use std::sync::Arc;
use tokio::sync::watch;

/// The entries of one session.
pub(super) type Entries = Ledger<EntryState>;

/// What is known of an entry.
#[derive(Debug)]
pub(super) struct EntryState {
    status: watch::Sender<Status>,
    /// The Lease as it was read last while the entry held it.
    pub(super) lease: Option<Arc<Lease>>,
    /// When the last change was sent that was acknowledged, and by which the entry is kept for a TTL, or for longer.
    pub(super) covered: Moment,
    /// Until when it is to be kept at least.
    pub(super) extended_until: Option<Moment>,
    /// The time of the last renewal that was sent: it may have been carried out without an answer.
    sent_renewal: Option<String>,
}

/// What the store has shown of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// It was sent, and nothing is known.
    #[default]
    Requested,
    /// It is in the line.
    Queued,
    /// It holds the lock, with this fence.
    Held(u64),
    /// Its hold is over; it stays for a while, without being renewed.
    Lapsing,
    /// It is gone from the store although it has not left.
    Gone,
    /// It was released or withdrawn.
    Leaving,
}

impl Default for EntryState {
    fn default() -> Self {
        Self {
            status: watch::Sender::new(Status::Requested),
            lease: None,
            covered: Moment::from_nanos(0),
            extended_until: None,
            sent_renewal: None,
        }
    }
}

impl EntryState {
    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Notes what the store has shown, unless more is known already: answers may overtake each other, and what is over stays over.
    pub(super) fn note(&self, next: Status) {
        self.status.send_if_modified(|status| {
            let is_next = match (*status, next) {
                (Status::Gone | Status::Leaving, _) => false,
                (Status::Lapsing, next) => matches!(next, Status::Gone | Status::Leaving),
                (Status::Held(_), next) => !matches!(next, Status::Requested | Status::Queued | Status::Held(_)),
                _ => true,
            };
            let is_new = is_next && *status != next;
            if is_new {
                *status = next;
            }
            is_new
        });
    }

    /// Notes an answer that shows that the entry holds, to a request that was sent then.
    pub(super) fn held(&mut self, lease: Arc<Lease>, sent: Moment) {
        self.note(Status::Held(lease.fence()));
        self.covered = self.covered.max(sent);
        self.read(lease);
    }

    /// The time of a renewal that is sent at `now_ms`: in another second than any before it, answered or not. Only then is it one to
    /// client-go, and only then does it change anything.
    pub(super) fn next_renewal(&mut self, lease: &Lease, now_ms: u64) -> String {
        let next = time::renewed(now_ms, lease.renewed.as_deref());
        let next =
            self.sent_renewal.as_deref().map_or(next.clone(), |sent| next.max(time::renewed(now_ms, Some(sent))));
        self.sent_renewal = Some(next.clone());
        next
    }

    /// Notes the Lease as it was read, unless a newer state is known.
    pub(super) fn read(&mut self, lease: Arc<Lease>) {
        if self.lease.as_ref().is_none_or(|known| known.uid != lease.uid || known.version <= lease.version) {
            self.lease = Some(lease);
        }
    }
}

pub(super) fn status(entries: &Entries, number: u64) -> Option<Status> {
    entries.get(number, |state| state.status())
}

pub(super) fn note(entries: &Entries, number: u64, status: Status) {
    entries.get(number, |state| state.note(status));
}

/// The entries that hold, each with the Lease as it was read last.
pub(super) fn held(entries: &Entries) -> Vec<(Arc<Entry>, Arc<Lease>)> {
    entries.collect(|entry, state, is_leaving| {
        let is_held = matches!(state.status(), Status::Held(_)) && !is_leaving;
        is_held.then(|| Some((Arc::clone(entry), Arc::clone(state.lease.as_ref()?))))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_without_an_answer_is_followed_by_one_of_another_second() {
        let (mut state, at) = (EntryState::default(), |ms: u64| time::written(1_796_021_623_000 + ms));
        let lease = Lease { renewed: Some(at(0)), ..Lease::default() };
        let mut next = |ms: u64| state.next_renewal(&lease, 1_796_021_623_000 + ms);
        assert_eq!([next(1200), next(1900), next(2500), next(4100)], [at(1200), at(2000), at(3000), at(4100)]);
    }

    #[test]
    fn what_is_over_stays_over_and_a_fence_never_changes() {
        let state = EntryState::default();
        for (next, expected) in [
            (Status::Queued, Status::Queued),
            (Status::Held(7), Status::Held(7)),
            (Status::Queued, Status::Held(7)),
            (Status::Held(8), Status::Held(7)),
            (Status::Lapsing, Status::Lapsing),
            (Status::Held(7), Status::Lapsing),
            (Status::Gone, Status::Gone),
            (Status::Leaving, Status::Gone),
        ] {
            state.note(next);
            assert_eq!(state.status(), expected);
        }
    }
}
