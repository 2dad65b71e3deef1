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
}
