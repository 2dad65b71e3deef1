//! What is known of an entry, from before it is first sent until it is definitely gone.

use super::queue::Ahead;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;

/// The state of an entry in the session's ledger.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The revision at which its key was created: every later request is conditional on it.
    pub(super) created: Option<i64>,
    /// The entries that were ahead of it when it was put into the queue.
    pub(super) ahead: Option<Ahead>,
    /// The session's lease when the first request was sent that puts the key on it.
    pub(super) lease: Option<i64>,
    pub(super) extension: Option<Extension>,
    /// The hold is over, and the entry stays for a while without being renewed.
    pub(super) lapse: Option<Lapse>,
    /// The store showed that the key is gone although the entry has not left.
    pub(super) is_gone: bool,
    /// The store refused to let the entry leave.
    pub(super) is_refused: bool,
    /// It is being handed over: nothing ties the key to a lease of this process any more.
    pub(super) is_detaching: bool,
    /// The key, of one that was handed over by another session, and whose name it has.
    pub(super) adopted: Option<Arc<str>>,
    /// The revision at which it was.
    pub(super) adopted_at: Option<i64>,
}

impl EntryState {
    /// The key's mod revision, as far as it is known.
    pub(super) fn modified(&self) -> Option<i64> {
        let extended = self.extension.as_ref().map(|extension| extension.modified);
        extended.max(self.adopted_at).max(self.created)
    }

    /// Whether the key may be, or may have become, another's: only its value tells.
    pub(super) fn may_be_anothers(&self) -> bool {
        self.is_detaching || self.adopted.is_some()
    }
}

/// An entry that must stay in the store for a while even if this process ends.
#[derive(Clone, Debug)]
pub(super) struct Extension {
    /// Until then.
    pub(super) until: Moment,
    /// The key's mod revision, as far as it is known: each request that ties the key to another lease is conditional on it.
    pub(super) modified: i64,
    /// The leases of its own to which the key is tied, or may be while a request is unanswered. The others are the
    /// session's.
    pub(super) own: Vec<OwnLease>,
    /// Whether the last such request was answered, so that the key is tied to the one lease in `own`, or if there is none
    /// to the session's.
    pub(super) is_certain: bool,
    /// A task ties it to the session's lease again.
    pub(super) is_returning: bool,
    /// Why that failed.
    pub(super) failure: Option<Arc<str>>,
}

/// Until when an entry stays whose hold is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lapse {
    pub(super) until: Moment,
    /// As it was when that was first asked for, by a request that may have been carried out without an answer.
    pub(super) first: Moment,
}

/// A lease that only one entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnLease {
    pub(super) id: i64,
    pub(super) ttl: Duration,
    /// It lasts until then at the least.
    pub(super) ends: Moment,
}

impl Extension {
    /// Of an entry that is tied to the session's lease since its key was `created`.
    pub(super) fn new(created: i64) -> Self {
        Self {
            until: Moment::from_nanos(0),
            modified: created,
            own: Vec::new(),
            is_certain: true,
            is_returning: false,
            failure: None,
        }
    }

    /// Whether the key is tied to something that lasts until `then`, if the session's lease does.
    pub(super) fn lasts_until(&self, then: Moment) -> bool {
        self.own.iter().all(|lease| lease.ends >= then)
    }

    /// The lease of its own to which the key is certainly tied.
    pub(super) fn tied_to(&self) -> Option<OwnLease> {
        self.own.last().filter(|_| self.is_certain).copied()
    }

    /// Notes the `lease` to which an answer showed the key to be tied since a revision.
    pub(super) fn note_tied(&mut self, since: i64, lease: i64, session: i64) {
        // What is known already says nothing of the requests that were sent since then, and are conditional on it.
        if since > self.modified {
            self.modified = since;
            self.own.retain(|own| own.id == lease);
            self.is_certain = lease == session || !self.own.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: i64 = 1;

    fn own(id: i64) -> OwnLease {
        OwnLease { id, ttl: Duration::from_secs(6), ends: Moment::from_nanos(6_000_000_000) }
    }

    /// An entry of which a request to tie it to the lease 2 is under way.
    fn being_tied(modified: i64) -> Extension {
        Extension { own: vec![own(2)], is_certain: false, ..Extension::new(modified) }
    }

    #[test]
    fn while_a_request_is_unanswered_either_lease_may_end_the_entry() {
        let mut extension = being_tied(17);
        assert!(!extension.lasts_until(Moment::from_nanos(7_000_000_000)) && extension.tied_to().is_none());
        extension.note_tied(18, 2, SESSION);
        assert!(!extension.lasts_until(Moment::from_nanos(7_000_000_000)) && extension.tied_to() == Some(own(2)));
    }

    #[test]
    fn a_later_revision_ends_every_earlier_request() {
        let mut extension = being_tied(17);
        extension.note_tied(18, SESSION, SESSION);
        assert!(extension.lasts_until(Moment::from_nanos(7_000_000_000)) && extension.is_certain);
    }

    /// A renewal ties the entry to the session's lease while `extend` ties it to its own: both see revision 18, and `extend`
    /// goes on from there before the renewal's answer comes.
    #[test]
    fn an_answer_that_says_nothing_new_forgets_no_request() {
        let mut extension = being_tied(18);
        extension.note_tied(18, SESSION, SESSION);
        assert!(!extension.lasts_until(Moment::from_nanos(7_000_000_000)) && !extension.is_certain);
        extension.note_tied(19, 2, SESSION);
        assert_eq!(extension.tied_to(), Some(own(2)));
    }
}
