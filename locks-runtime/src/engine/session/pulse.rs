//! What is known while no renewal succeeds: whether the store refuses, or this process does not run.

use crate::values::end::Overdue;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::clock::{AtomicMoment, Moment};
use std::sync::Arc;
use std::time::Duration;

/// When a session's own task runs, and why its renewals fail.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The task runs again by this moment, unless the whole process is paused.
    due: AtomicMoment,
    since_renewed: Mutex<Overdue>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { due: AtomicMoment::new(Moment::NEVER), since_renewed: Mutex::default() }
    }

    /// The task runs at `now`, and will again after `pause` at the latest.
    pub(super) fn runs(&self, now: Moment, pause: Duration) {
        let late = now.since(self.due.load());
        self.due.store(now + pause);
        let mut since = self.since_renewed.lock();
        since.paused = since.paused.max(Some(late));
    }

    /// A renewal failed. Returns whether it is the first in a row.
    pub(super) fn failed(&self, error: &Error) -> bool {
        let failure = Some(Arc::from(error.chain().to_string()));
        std::mem::replace(&mut self.since_renewed.lock().failure, failure).is_none()
    }

    /// A renewal succeeded. Returns whether some had failed before.
    pub(super) fn renewed(&self) -> bool {
        std::mem::take(&mut *self.since_renewed.lock()).failure.is_some()
    }

    /// Why the last renewal failed, if it did.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.since_renewed.lock().failure.clone()
    }

    /// What has been since the last renewal that succeeded, in a session that is over at `now`.
    pub(super) fn overdue(&self, now: Moment, ttl: Duration) -> Overdue {
        let Overdue { failure, paused } = self.since_renewed.lock().clone();
        let paused = paused.max(Some(now.since(self.due.load()))).filter(|paused| *paused >= ttl / 10);
        Overdue { failure, paused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(0) + Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_is_noticed_by_whoever_looks_first_and_until_the_next_renewal() {
        let pulse = Pulse::new();
        pulse.runs(at(0), Duration::from_secs(3));
        assert_eq!(pulse.overdue(at(3_500), TTL), Overdue::default(), "a little late is no pause");
        assert_eq!(pulse.overdue(at(4_000), TTL).paused, Some(TTL / 10), "a tenth of the TTL is one");
        assert_eq!(pulse.overdue(at(12_000), TTL).paused, Some(Duration::from_secs(9)));
        pulse.runs(at(12_000), Duration::from_secs(3));
        assert_eq!(pulse.overdue(at(12_001), TTL).paused, Some(Duration::from_secs(9)));
        assert!(!pulse.renewed());
        assert_eq!(pulse.overdue(at(12_002), TTL), Overdue::default());
    }

    #[test]
    fn the_last_failure_stands_until_a_renewal_succeeds() {
        let pulse = Pulse::new();
        assert!(pulse.failed(&Error::unavailable("first")) && !pulse.failed(&Error::unavailable("second")));
        assert_eq!(pulse.overdue(at(1), TTL).failure.as_deref(), Some("second"));
        assert!(pulse.renewed() && pulse.overdue(at(1), TTL).failure.is_none());
    }
}
