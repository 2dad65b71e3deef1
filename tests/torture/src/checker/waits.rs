//! For how long a call waits, and for how long it keeps others waiting.

use super::call::Call;
use super::history::History;
use super::spans::Span;
use crate::clock::Nanos;
use crate::history::Wait;

/// From the request to the start of the body, or to the end of a call without a body.
pub(super) fn wait(history: &History, call: &Call) -> Span {
    Span::new(call.invoked, call.hold.as_ref().map_or_else(|| history.ended_at(call), |hold| hold.begun))
}

/// As [`wait`], until the time is up: the call leaves the queue then, and may still ask who holds the lock.
pub(super) fn queued(history: &History, call: &Call) -> Span {
    let whole = wait(history, call);
    match call.wait {
        Wait::Millis(limit) if call.hold.is_none() => {
            Span::new(whole.from, whole.to.min(whole.from.saturating_add(limit * 1_000_000)))
        }
        _ => whole,
    }
}

/// Whether the call has a position in the lock's queue: a try has none, and one that joins a hold waits for its turn there.
pub(super) fn is_queued(call: &Call) -> bool {
    call.wait != Wait::Never && call.options.joins.is_none()
}

/// Until when the lock is not free for anybody because of this call, whose body has begun: with `hold_at_least`, its own or that of
/// a body that joined it, not before that is over.
pub(super) fn held_until(history: &History, call: &Call) -> Nanos {
    let kept = history.kept_until(call).max(history.joined_until(call));
    history.ended_at(call).max(kept.unwrap_or(0))
}
