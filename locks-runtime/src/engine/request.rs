//! What is asked for, and by whom.

use super::observe::Labels;
use crate::values::holder::{Holder, Under};
use crate::values::key::Key;
use crate::values::options::Options;
use crate::world::clock::Moment;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Names one position in the queues of a client, and with it the hold that grows out of it.
pub(crate) type PositionId = u64;

/// Who asks, as the program's text has it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What it calls itself.
    pub(crate) name: Cow<'static, str>,
    /// `file:line`.
    pub(crate) origin: Cow<'static, str>,
    /// The key as it is written, where an attribute has it.
    pub(crate) template: &'static str,
    /// Of who wants to be elected leader: what it says of itself.
    pub(crate) value: Option<String>,
}

/// The holds that a task runs under, innermost first.
#[derive(Debug)]
pub(crate) struct OuterHolds {
    /// Where the bodies are that have them.
    pub(crate) positions: Vec<PositionId>,
    /// Each lock of each hold, as records name it.
    pub(crate) recorded: Vec<Under>,
}

/// One call for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The lock; of several the first.
    pub(crate) key: Key,
    /// The other locks, in order, each once.
    pub(crate) others: Box<[Key]>,
    pub(crate) options: Options,
    /// The TTL that is asked for: the caller's, or the client's.
    pub(crate) ttl: Duration,
    pub(crate) holder: Arc<Holder>,
    pub(crate) template: &'static str,
    /// When the call began.
    pub(crate) begun: Moment,
    /// The holds under which this task already runs, innermost first.
    pub(crate) under: Vec<PositionId>,
}

impl Request {
    pub(crate) fn labels(&self) -> Labels<'_> {
        Labels { name: &self.holder.name, template: self.template }
    }

    /// All its locks.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.key).chain(&self.others)
    }

    /// For how long the lock may be granted to this request without anybody taking it: the future that asked is not polled.
    pub(crate) fn unclaimed_limit(&self) -> Duration {
        // Not less, so that a busy executor is not taken for one that has forgotten the future.
        const SHORTEST: Duration = Duration::from_millis(100);
        self.options.hold_at_most.map_or(self.ttl, |most| most.min(self.ttl)).max(SHORTEST)
    }

    /// Whether it could go on with the entry that serves `other`: there is no visible difference from an entry of its own.
    pub(crate) fn could_take_over_from(&self, other: &Self) -> bool {
        let is_of_one = self.others.is_empty() && other.others.is_empty();
        // Whoever observes leaders is to see each.
        let is_no_leader = self.holder.value.is_none();
        is_of_one
            && is_no_leader
            // Others of this process may be in the store's queue behind what was handed over.
            && !other.holder.adopted
            && self.options.hold_at_least.is_none()
            && self.ttl == other.ttl
            && self.holder.is_like(&other.holder)
    }
}
