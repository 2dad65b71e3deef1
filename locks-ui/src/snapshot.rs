//! How the locks were at one moment.

use crate::clock;
use locks_runtime::Key;
use locks_runtime::store::Line;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// All locks that the page may show, and how the store was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// When the store last said so.
    pub(crate) seen_ms: u64,
    pub(crate) lines: BTreeMap<Key, Arc<Seen>>,
    pub(crate) store: StoreState,
}

/// A lock as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: Line,
    /// How long the first holder's entry had left after a renewal, at most.
    pub(crate) whole_ms: u64,
}

/// How the store is.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreState {
    /// Since when it answers.
    pub(crate) since_ms: Option<u64>,
    pub(crate) round_trip: Option<Duration>,
    /// Since when it does not, and why.
    pub(crate) away: Option<(u64, String)>,
}

impl Seen {
    /// The line, after what was seen of it before.
    pub(crate) fn after(line: Line, before: Option<&Self>) -> Self {
        let left =
            line.holders.first().and_then(|holder| holder.until_ms).unwrap_or(0).saturating_sub(clock::wall_ms());
        let is_same_hold = |before: &&Self| {
            let fence =
                |line: &Line| line.holders.first().map(|holder| (holder.fence, holder.instance.clone(), holder.id));
            fence(&before.line) == fence(&line)
        };
        let whole_ms = before.filter(is_same_hold).map_or(0, |before| before.whole_ms).max(left);
        Self { line, whole_ms }
    }

    /// Since when its first holder holds it, as far as it is known.
    pub(crate) fn held_since(&self) -> Option<u64> {
        self.line.holders.first().and_then(since)
    }

    /// Since when somebody waits for it.
    pub(crate) fn waited_since(&self) -> Option<u64> {
        self.line
            .waiters
            .iter()
            .filter_map(|waiter| (waiter.requested_at_ms != 0).then_some(waiter.requested_at_ms))
            .min()
    }
}

/// Since when a holder holds, by the store's clock, or since when it has asked, by its own.
pub(crate) fn since(listed: &locks_runtime::store::Listed) -> Option<u64> {
    listed.since_ms.or((listed.requested_at_ms != 0).then_some(listed.requested_at_ms))
}
