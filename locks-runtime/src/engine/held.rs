//! An entry for as long as one hold has it: whether that hold is over, and why.

use super::observe;
use super::request::Request;
use crate::contract::Entry;
use crate::values::end::{EndReason, EndSignal};
use crate::values::fence::Fence;
use crate::values::mutex::Mutex;
use crate::world::clock::{AtomicMoment, Moment};
use crate::world::panic::contain;
use std::sync::Arc;
use std::time::Duration;

/// What a session and a hold share of the entry that the hold is about.
#[derive(Debug)]
pub(crate) struct HeldEntry {
    pub(crate) entry: Arc<Entry>,
    pub(crate) request: Arc<Request>,
    pub(crate) span: tracing::Span,
    pub(crate) fence: Fence,
    /// When the hold began: later than the store's grant, if another hold of this process had the entry first.
    pub(crate) acquired: Moment,
    end: EndSignal,
    /// The entry's own deadline: [`Moment::NEVER`] unless a renewal of its session did not cover it.
    deadline: AtomicMoment,
    uncovered: Mutex<Option<Arc<str>>>,
}

impl HeldEntry {
    pub(crate) fn new(
        entry: Arc<Entry>,
        request: Arc<Request>,
        span: tracing::Span,
        (fence, acquired): (Fence, Moment),
    ) -> Self {
        let (end, uncovered) = (EndSignal::default(), Mutex::default());
        Self { entry, request, span, fence, acquired, end, deadline: AtomicMoment::new(Moment::NEVER), uncovered }
    }

    pub(crate) fn number(&self) -> u64 {
        self.entry.number
    }

    /// Why the hold is over, if it is at `now`, as far as the entry itself is concerned.
    pub(crate) fn end_at(&self, now: Moment) -> Option<EndReason> {
        if let Some(reason) = self.end.reason() {
            return Some(reason);
        }
        if now < self.deadline.load() {
            return None;
        }
        let cause = self.uncovered.lock().clone();
        cause.map(|cause| self.end(EndReason::NotRenewed(cause)))
    }

    /// Where `hold_at_most` ends.
    pub(crate) fn until(&self) -> Option<Moment> {
        self.request.options.hold_at_most.map(|most| self.acquired + most)
    }

    /// For how long the hold can still be proved at `now`, if its session can for `of_session`.
    pub(crate) fn time_left(&self, now: Moment, of_session: Duration) -> Duration {
        if self.end_at(now).is_some() {
            return Duration::ZERO;
        }
        let until = self.deadline.load().min(self.until().unwrap_or(Moment::NEVER));
        of_session.min(until.since(now))
    }

    /// Ends the hold; returns the reason that stands.
    pub(crate) fn end(&self, reason: EndReason) -> EndReason {
        let (stands, is_first) = self.end.end(reason);
        if is_first && stands != EndReason::Released {
            observe::ended_early(&self.span, self.request.labels(), &self.entry.key, &stands);
        }
        stands
    }

    /// Returns when the hold is over.
    pub(crate) async fn ended(&self) -> EndReason {
        self.end.wait().await
    }

    /// A renewal did not cover the entry: from now on it has a deadline of its own.
    pub(crate) fn uncover(&self, deadline: Moment, cause: Arc<str>) {
        *self.uncovered.lock() = Some(cause);
        self.deadline.store(deadline);
    }

    /// Why the last renewal did not cover the entry, if so.
    pub(crate) fn uncovered(&self) -> Option<Arc<str>> {
        self.uncovered.lock().clone()
    }

    /// A renewal covered the entry again: it has the deadline of its session.
    pub(crate) fn cover(&self) {
        self.deadline.store(Moment::NEVER);
        *self.uncovered.lock() = None;
    }
}

impl Drop for HeldEntry {
    fn drop(&mut self) {
        // The end of a span is reported, too, by whatever drops it.
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        contain(|| drop(span));
    }
}
