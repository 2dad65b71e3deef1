//! Every span, event and metric, by name and level: each is emitted once, here.
//!
//! Labels of metrics are the key's *template* and the function's name, never the rendered key: a metric must not grow
//! with the number of jobs.

use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::options::{Mode, Options};
use crate::values::target::TARGET;
use std::time::Duration;
use tracing::Span;

/// What metrics know of a request.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "only metrics read them"))]
pub(crate) struct Labels<'a> {
    /// What the holder calls itself.
    pub(crate) name: &'a str,
    /// The key's template, or for the builder API nothing.
    pub(crate) template: &'static str,
}

/// The span around acquire, hold and release.
pub(crate) fn span(key: &Key, name: &str, options: &Options) -> Span {
    tracing::info_span!(
        target: TARGET,
        "lock",
        %key,
        name,
        mode = %Mode::default(),
        wait = options.wait.map(tracing::field::debug),
        fence = tracing::field::Empty,
        outcome = tracing::field::Empty,
    )
}

/// The lock was acquired after `waited`.
pub(crate) fn acquired(span: &Span, labels: Labels<'_>, fence: Fence, waited: Duration) {
    span.record("fence", tracing::field::display(fence));
    tracing::debug!(target: TARGET, parent: span, %fence, ?waited, "lock acquired");
    count_outcome(labels, "acquired");
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!("locks_wait_seconds", tags(labels)).record(waited.as_secs_f64());
        metrics::gauge!("locks_held", tags(labels)).increment(1.0);
    }
}

/// The lock was not acquired.
pub(crate) fn refused(span: &Span, labels: Labels<'_>, error: &Error) {
    let outcome = outcome(error.kind());
    span.record("outcome", outcome);
    tracing::debug!(target: TARGET, parent: span, %error, "lock not acquired");
    count_outcome(labels, outcome);
}

/// A hold is over, `lost` or not, after `held`.
pub(crate) fn ended(span: &Span, labels: Labels<'_>, held: Duration, lost: bool) {
    span.record("outcome", if lost { "lost" } else { "released" });
    tracing::debug!(target: TARGET, parent: span, ?held, "lock released");
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!("locks_hold_seconds", tags(labels)).record(held.as_secs_f64());
        metrics::gauge!("locks_held", tags(labels)).decrement(1.0);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = labels;
}

/// A hold was lost while it was wanted.
pub(crate) fn lost(span: &Span, labels: Labels<'_>, key: &Key, reason: &EndReason) {
    tracing::error!(target: TARGET, parent: span, %key, why = %reason, "lock lost while held");
    #[cfg(feature = "metrics")]
    metrics::counter!("locks_lost_total", tags(labels)).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = labels;
}

/// A request began (`+1`) or ended (`-1`) to wait for a lock.
pub(crate) fn waiting(labels: Labels<'_>, change: f64) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("locks_waiting", tags(labels)).increment(change);
    #[cfg(not(feature = "metrics"))]
    let _ = (labels, change);
}

/// A function returning `()` did not run, or was stopped: nothing else can say so.
pub(crate) fn skipped(error: &Error) {
    match error.kind() {
        ErrorKind::Busy | ErrorKind::Timeout => tracing::info!(target: TARGET, %error, "locked function skipped"),
        _ => tracing::error!(target: TARGET, %error, "locked function did not run to its end"),
    }
}

/// A renewal failed; the session goes on until its deadline.
pub(crate) fn renewal_failed(error: &Error, left: Duration) {
    tracing::warn!(target: TARGET, %error, cause = cause(error), ?left, "lock session could not be renewed; retrying");
    #[cfg(feature = "metrics")]
    metrics::counter!("locks_renewal_failures_total").increment(1);
}

/// A session ended after `age`.
pub(crate) fn session_ended(age: Duration, ttl: Duration, reason: &EndReason) {
    if reason.is_intended() {
        tracing::debug!(target: TARGET, ?age, ?ttl, why = %reason, "lock session closed");
    } else {
        tracing::warn!(target: TARGET, ?age, ?ttl, why = %reason, "lock session lost");
    }
    #[cfg(feature = "metrics")]
    metrics::histogram!("locks_session_age_seconds").record(age.as_secs_f64());
}

/// A release could not be confirmed; it is retried in the background.
pub(crate) fn release_failed(key: &Key, error: &Error) {
    tracing::warn!(target: TARGET, %key, %error, cause = cause(error), "lock release not confirmed yet; retrying in the background");
}

/// The store could not be reached while acquiring; it is retried.
pub(crate) fn store_unreachable(key: &Key, error: &Error) {
    tracing::debug!(target: TARGET, %key, %error, cause = cause(error), "store unreachable while acquiring; retrying");
}

/// The store could not be reached, or refuses, for the first time of a request; it is retried.
pub(crate) fn store_fails(key: &Key, error: &Error) {
    tracing::warn!(target: TARGET, %key, %error, cause = cause(error), "lock cannot be acquired: the store does not do it");
}

/// `waiter` has waited for `key` for long; `holder`, if it is known, has it or asked for it that long ago.
pub(crate) fn waits_long(key: &Key, waiter: &Holder, holder: Option<(&Holder, Duration)>, waited: Duration) {
    let (holder, since) = holder.unzip();
    let (holder, since) = (holder.map(tracing::field::display), since.map(tracing::field::debug));
    tracing::warn!(target: TARGET, %key, %waiter, holder, since, ?waited, "waiting long for a lock; does its holder wait for this?");
}

/// The lock, or the turn, of `waiter` came, and the future that asked for it is not polled.
pub(crate) fn unclaimed(key: &Key, waiter: &Holder) {
    tracing::warn!(target: TARGET, %key, %waiter, "lock withdrawn from a future that is not polled");
}

/// A body ended after its hold was over, too late to be stopped.
pub(crate) fn overran(key: &Key, reason: &EndReason) {
    tracing::warn!(target: TARGET, %key, why = %reason, "body ended after its lock was lost; was it blocking, or stopped by `on_lost = continue`?");
}

fn cause(error: &Error) -> Option<tracing::field::DisplayValue<&(dyn std::error::Error + 'static)>> {
    std::error::Error::source(error).map(tracing::field::display)
}

fn outcome(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Busy => "busy",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Unauthorized => "unauthorized",
        ErrorKind::Deadlock => "deadlock",
        _ => "refused",
    }
}

fn count_outcome(labels: Labels<'_>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    {
        let mut tags = tags(labels);
        tags.push(metrics::Label::from_static_parts("outcome", outcome));
        metrics::counter!("locks_acquisitions_total", tags).increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (labels, outcome);
}

#[cfg(feature = "metrics")]
fn tags(labels: Labels<'_>) -> Vec<metrics::Label> {
    vec![metrics::Label::from_static_parts("key", labels.template), metrics::Label::new("name", labels.name.to_owned())]
}
