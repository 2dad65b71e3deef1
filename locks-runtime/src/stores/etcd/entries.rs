//! What is known of an entry, from before it is first sent until it is definitely gone.

use super::queue::Ahead;
use crate::world::clock::Moment;

/// The state of an entry in the session's ledger.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The revision at which its key was created: every later request is conditional on it.
    pub(super) created: Option<i64>,
    /// The entries that were ahead of it when it was put into the queue.
    pub(super) ahead: Option<Ahead>,
    pub(super) extension: Option<Extension>,
}

/// The lease of its own of an entry that must outlive its process.
#[derive(Clone, Debug)]
pub(super) struct Extension {
    pub(super) until: Moment,
    pub(super) lease: i64,
    pub(super) tied_to: TiedTo,
}

/// The lease to which an extended entry's key is tied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TiedTo {
    /// Its own, since this revision.
    OwnLease(i64),
    /// The session's.
    SessionLease,
    /// One or the other; with the revision since when it was its own, if that is known.
    Unknown(Option<i64>),
}

impl EntryState {
    pub(super) fn set_tied_to(&mut self, lease: TiedTo) {
        if let Some(extension) = &mut self.extension {
            extension.tied_to = lease;
        }
    }
}
