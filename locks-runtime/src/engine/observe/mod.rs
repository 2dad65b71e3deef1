//! Every span, event and metric, by name and level: each is emitted once, here.
//!
//! Labels of metrics are the key's *template* and the function's name, never the rendered key: a metric must not grow
//! with the number of jobs.
//!
//! Subscribers and recorders are the application's, and many of these are called on the background thread, which serves
//! others, too: a panic in one ends here.

mod measure;

pub(crate) use measure::Labels;

use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::local::{LocalLock, Several};
use crate::values::options::Options;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use crate::world::panic::contain;
use std::fmt::Display;
use std::sync::Once;
use std::time::Duration;
use tracing::Span;
use tracing::field::{self, DisplayValue};

/// Describes every metric to the recorder that is there, with its unit.
pub(crate) fn describe() {
    contain(measure::describe);
}

/// How long the oldest hold and the oldest wait of these labels have lasted by now.
#[cfg(feature = "metrics")]
pub(crate) fn oldest(labels: Labels<'_>, hold: Duration, wait: Duration) {
    contain(|| measure::oldest(labels, hold, wait));
}

/// The span around acquire, hold and release. A field called `name` would be lost in JSON, where the span's own name is.
pub(crate) fn span(key: &Key, name: &str, options: &Options) -> Span {
    tracing::info_span!(
        target: TARGET,
        "lock",
        key = %key.shown(),
        lock.name = name,
        mode = %options.mode,
        wait = options.wait.map(field::debug),
        wait_ms = field::Empty,
        fence = field::Empty,
        outcome = field::Empty,
        cause = field::Empty,
    )
}

/// The lock was acquired after `waited`.
pub(crate) fn acquired(span: &Span, labels: Labels<'_>, fence: Fence, waited: Duration) {
    contain(|| {
        span.record("fence", field::display(fence));
        span.record("wait_ms", u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        tracing::debug!(target: TARGET, parent: span, %fence, ?waited, "lock acquired");
        measure::acquired(labels, waited);
    });
}

/// The lock was not acquired.
pub(crate) fn refused(span: &Span, labels: Labels<'_>, error: &Error) {
    contain(|| {
        let outcome = outcome(error.kind());
        span.record("outcome", outcome);
        if let Some(cause) = cause(error) {
            span.record("cause", cause);
        }
        tracing::debug!(target: TARGET, parent: span, %error, cause = cause(error), "lock not acquired");
        measure::request_ended(labels, outcome);
    });
}

/// A hold is over after `held`: released, or `ended` before that.
pub(crate) fn ended(span: &Span, labels: Labels<'_>, held: Duration, ended: Option<&EndReason>) {
    contain(|| {
        span.record("outcome", ended.map_or("released", |reason| outcome(reason.kind())));
        tracing::debug!(target: TARGET, parent: span, ?held, "lock released");
        measure::hold_ended(labels, held);
    });
}

/// A hold ended while it was wanted. Only what nobody asked for is a loss.
pub(crate) fn ended_early(span: &Span, labels: Labels<'_>, key: &Key, reason: &EndReason) {
    contain(|| {
        let (key, name) = (key.shown(), &**labels.name);
        span.record("cause", field::display(reason));
        if !reason.is_loss() {
            match reason {
                EndReason::LimitPassed => limit_passed(span, labels, key),
                _ => {
                    tracing::debug!(target: TARGET, parent: span, %key, lock.name = name, cause = %reason, "lock not held any more")
                }
            }
            return;
        }
        tracing::error!(target: TARGET, parent: span, %key, lock.name = name, cause = %reason, "lock lost while held");
        measure::lost(labels);
    });
}

/// A body, or a hold, has had all the time that it may.
pub(crate) fn limit_passed(span: &Span, labels: Labels<'_>, key: impl Display) {
    contain(|| {
        tracing::warn!(target: TARGET, parent: span, %key, lock.name = &**labels.name, "`hold_at_most` passed: the body is stopped");
    });
}

/// A request began (`+1`) or ended (`-1`) to wait for a lock.
pub(crate) fn waiting(labels: Labels<'_>, change: f64) {
    contain(|| measure::waiting(labels, change));
}

/// A function whose return type has no room for the error did not run, or was stopped: nothing else can say so.
pub(crate) fn skipped(error: &Error) {
    contain(|| {
        let (key, name, cause) = (error.key().map(|key| field::display(key.shown())), error.function(), cause(error));
        let outcome = outcome(error.kind());
        match error.kind() {
            ErrorKind::Busy | ErrorKind::Timeout => {
                tracing::info!(target: TARGET, key, lock.name = name, outcome, %error, cause, "locked function skipped");
            }
            // Somebody has decided that.
            ErrorKind::Closed | ErrorKind::Resigned => {
                tracing::info!(target: TARGET, key, lock.name = name, outcome, %error, cause, "locked function stopped, or skipped");
            }
            ErrorKind::LimitPassed => {
                tracing::warn!(target: TARGET, key, lock.name = name, outcome, %error, cause, "locked function stopped");
            }
            _ => {
                tracing::error!(target: TARGET, key, lock.name = name, outcome, %error, cause, "locked function did not run to its end");
                print_unless_recorded(error);
            }
        }
    });
}

/// Prints the first error of a function that returns `()`, if nothing can show its event: whoever forgets the client in their
/// first program would see nothing at all.
#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
fn print_unless_recorded(error: &Error) {
    static PRINTED: Once = Once::new();
    if !tracing::dispatcher::has_been_set() {
        let function = error.function().unwrap_or("a locked function");
        PRINTED.call_once(|| {
            eprintln!("`{function}` did not run to its end: {error} (each such error is an event, if there is a `tracing` subscriber)");
        });
    }
}

/// A renewal failed; the session goes on until its deadline. Every failure is counted, and the first in a row is a warning.
pub(crate) fn renewal_failed(error: &Error, left: Duration, is_first: bool) {
    contain(|| {
        let cause = cause(error);
        if is_first {
            tracing::warn!(target: TARGET, %error, cause, ?left, "lock session could not be renewed; retrying");
        } else {
            tracing::debug!(target: TARGET, %error, cause, ?left, "lock session could not be renewed again; retrying");
        }
        measure::renewal_failed();
    });
}

/// A renewal has succeeded after some that failed.
pub(crate) fn renewed_again() {
    contain(|| {
        tracing::warn!(target: TARGET, "lock session is renewed again");
    });
}

/// The store keeps sessions no shorter than `granted`, which is more than the TTL that was `asked` for.
pub(crate) fn ttl_raised(asked: Duration, granted: Duration) {
    contain(|| {
        tracing::warn!(
            target: TARGET, ?asked, ?granted,
            "the store has no TTL as short as the one asked for: a lock whose process dies stays taken for longer"
        );
    });
}

/// A session ended after `age`.
pub(crate) fn session_ended(age: Duration, ttl: Duration, reason: &EndReason) {
    contain(|| {
        if reason.is_loss() {
            tracing::warn!(target: TARGET, ?age, ?ttl, cause = %reason, "lock session lost");
        } else {
            tracing::debug!(target: TARGET, ?age, ?ttl, cause = %reason, "lock session closed");
        }
        measure::session_ended(age);
    });
}

/// A release could not be confirmed; it is retried in the background.
pub(crate) fn release_failed(key: &Key, error: &Error) {
    contain(|| {
        tracing::warn!(target: TARGET, key = %key.shown(), %error, cause = cause(error), "lock release not confirmed yet; retrying in the background");
    });
}

/// The store could not be reached while acquiring; it is retried.
pub(crate) fn store_unreachable(key: &Key, error: &Error) {
    contain(|| {
        tracing::debug!(target: TARGET, key = %key.shown(), %error, cause = cause(error), "store unreachable while acquiring; retrying");
    });
}

/// The store could not be reached, or refuses, for the first time of a request; it is retried.
pub(crate) fn store_fails(key: &Key, error: &Error) {
    contain(|| {
        tracing::warn!(target: TARGET, key = %key.shown(), %error, cause = cause(error), "lock cannot be acquired: the store does not do it");
    });
}

/// `waiter` has waited for `key` for long; `holder`, if it is known, has it or asked for it that long ago.
pub(crate) fn waits_long(key: &Key, waiter: &Holder, holder: Option<(&Holder, Duration)>, waited: Duration) {
    contain(|| {
        let (holder, since) = holder.unzip();
        let (holder, since) = (holder.map(field::display), since.map(field::debug));
        tracing::warn!(target: TARGET, key = %key.shown(), %waiter, holder, since, ?waited, "waiting long for a lock; does its holder wait for this?");
    });
}

/// Locks of two templates are acquired inside each other in both orders: at `origin` the second inside the first.
pub(crate) fn both_orders((outer, inner): (&str, &str), origin: &str, other: &str) {
    contain(|| {
        tracing::warn!(target: TARGET, outer, inner, origin, other_origin = other, "locks are acquired inside each other in both orders, and may wait for each other for ever; use one order, or `keys`");
    });
}

/// `waiter` counts another number of permits than `holder` of the same lock.
pub(crate) fn other_limit(key: &Key, waiter: &Holder, holder: &Holder) {
    contain(|| {
        let (permits, others) = (waiter.permits, holder.permits);
        tracing::warn!(target: TARGET, key = %key.shown(), %waiter, permits, %holder, holder.permits = others, "a lock is used with different numbers of permits: each call counts by its own, so that as many may hold it as the largest allows; give all calls of one lock the same `permits`");
    });
}

/// `candidate` waits in an election whose key `holder` has as that of a lock.
pub(crate) fn election_behind_a_lock(key: &Key, candidate: &Holder, holder: &Holder) {
    contain(|| {
        tracing::warn!(target: TARGET, key = %key.shown(), %candidate, %holder, "a lock has the key of a leader election: nobody leads until it is released; give the two keys of their own");
    });
}

/// There is a candidate of this name (`0`), it leads (`+1`), or its term is over (`-1`).
pub(crate) fn leads(labels: Labels<'_>, change: f64) {
    contain(|| measure::leads(labels, change));
}

/// A term began: this process leads.
pub(crate) fn elected(span: &Span, labels: Labels<'_>, key: &Key, fence: Fence) {
    leads(labels, 1.0);
    contain(|| {
        tracing::info!(target: TARGET, parent: span, key = %key.shown(), lock.name = &**labels.name, %fence, "elected: this process leads");
    });
}

/// A term is over, whatever its body does.
pub(crate) fn term_over(span: &Span, labels: Labels<'_>, key: &Key, reason: &EndReason) {
    leads(labels, -1.0);
    contain(|| {
        tracing::info!(target: TARGET, parent: span, key = %key.shown(), lock.name = &**labels.name, cause = %reason, "this process leads no more");
    });
}

/// A call for work that is done once ended: it `ran`, was `already_done`, or `failed`.
pub(crate) fn once_ended(name: &str, outcome: &'static str) {
    contain(|| {
        tracing::debug!(target: TARGET, outcome, lock.name = name, "call for work that is done once ended");
        measure::once_ended(name, outcome);
    });
}

/// The lock, or the turn, of `waiter` came, and the future that asked for it is not polled.
pub(crate) fn unclaimed(key: &Key, waiter: &Holder) {
    contain(|| {
        tracing::warn!(target: TARGET, key = %key.shown(), %waiter, "lock withdrawn from a future that is not polled");
    });
}

/// A body ended after its hold was over, too late to be stopped.
pub(crate) fn overran(key: &Key, reason: &EndReason) {
    contain(|| {
        let key = key.shown();
        if reason.is_loss() {
            tracing::warn!(target: TARGET, %key, cause = %reason, "body ended after its lock was lost; was it blocking, or stopped by `on_lost = continue`?");
        } else {
            tracing::debug!(target: TARGET, %key, cause = %reason, "body ended after its hold did");
        }
    });
}

/// A client takes no more requests: its bodies have this long to end by themselves.
pub(crate) fn draining(held: usize, waiting: usize, grace: Duration) {
    contain(|| {
        tracing::info!(target: TARGET, held, waiting, ?grace, "the service is stopping: no more locks are acquired");
    });
}

/// A client was drained. What is `left` could not be released.
pub(crate) fn drained(left: &[LocalLock], took: Duration) {
    contain(|| {
        if left.is_empty() {
            tracing::info!(target: TARGET, ?took, "all locks are released");
        } else {
            let (count, left) = (left.len(), field::display(Several(left)));
            tracing::warn!(target: TARGET, count, left, ?took, "the service is stopping, and not all locks are released: they lapse after the process has ended");
        }
    });
}

/// The whole chain of causes.
fn cause(error: &Error) -> Option<DisplayValue<Chain<'_>>> {
    error.cause().map(field::display)
}

fn outcome(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Busy => "busy",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Unauthorized => "unauthorized",
        ErrorKind::Deadlock => "deadlock",
        ErrorKind::Lost => "lost",
        ErrorKind::LimitPassed => "limit_passed",
        ErrorKind::Closed => "closed",
        ErrorKind::Resigned => "resigned",
        _ => "refused",
    }
}
