//! An entry in one queue of the memory store.

use crate::contract::Entry;
use crate::values::mode::Mode;
use crate::values::secret::Secret;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was handed over waits in a session of its own for whoever knows this.
pub(super) type Tickets = BTreeMap<u64, Secret<Arc<str>>>;

/// An entry in a queue.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) session: u64,
    pub(super) entry: Arc<Entry>,
    /// The fencing number, once it holds.
    pub(super) fence: Option<u64>,
    /// Since when it holds.
    pub(super) since: Moment,
    pub(super) extended_until: Option<Moment>,
    /// The end of an entry that its session's renewals do not cover.
    pub(super) uncovered_until: Option<Moment>,
    /// No session renews it any more: it is there only until `extended_until`.
    pub(super) left: bool,
}

impl Place {
    /// Of an entry that waits.
    pub(super) fn new(session: u64, entry: &Arc<Entry>) -> Self {
        Self {
            session,
            entry: Arc::clone(entry),
            fence: None,
            since: Moment::NEVER,
            extended_until: None,
            uncovered_until: None,
            left: false,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.entry.number
    }

    pub(super) fn mode(&self) -> Mode {
        self.entry.mode
    }

    pub(super) fn grant(&mut self, fence: u64, now: Moment) {
        (self.fence, self.since) = (Some(fence), now);
    }

    pub(super) fn is_of(&self, session: u64, number: u64) -> bool {
        (self.session, self.entry.number) == (session, number)
    }

    pub(super) fn is_extended_at(&self, now: Moment) -> bool {
        self.extended_until.is_some_and(|until| until > now)
    }

    /// Whether it lapses by itself.
    pub(super) fn is_timed(&self) -> bool {
        self.extended_until.is_some() || self.uncovered_until.is_some()
    }

    pub(super) fn has_lapsed_at(&self, now: Moment) -> bool {
        self.uncovered_until.is_some_and(|until| until <= now)
    }

    /// When it lapses if nothing renews it any more, in a session that lasts until then.
    pub(super) fn until(&self, session: Moment) -> Moment {
        let covered = if self.left { None } else { Some(self.uncovered_until.unwrap_or(session)) };
        covered.max(self.extended_until).unwrap_or(session)
    }
}
