//! Every metric. Whoever calls these contains the panics of a recorder.

#![cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "without the feature nothing is measured"))]

#[cfg(feature = "metrics")]
use metrics::{Label, Unit, describe_counter, describe_gauge, describe_histogram};
use std::borrow::Cow;
use std::time::Duration;

/// What metrics know of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels<'a> {
    /// What the holder calls itself.
    pub(crate) name: &'a Cow<'static, str>,
    /// The key's template, or for the builder API nothing.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "only metrics read it"))]
    pub(crate) template: &'static str,
}

/// Describes every metric to the recorder that is there, with its unit.
pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    {
        describe_counter!(
            "locks_acquisitions_total",
            Unit::Count,
            "Requests that ended, by outcome: acquired, or why not"
        );
        describe_histogram!("locks_wait_seconds", Unit::Seconds, "From a request to its grant");
        describe_histogram!("locks_hold_seconds", Unit::Seconds, "From a grant to the end of the hold");
        describe_gauge!("locks_held", Unit::Count, "Locks that this process holds");
        describe_gauge!("locks_waiting", Unit::Count, "Requests of this process that wait for a lock");
        describe_gauge!(
            "locks_oldest_hold_seconds",
            Unit::Seconds,
            "For how long the oldest hold lasts, 0 without one"
        );
        describe_gauge!(
            "locks_oldest_wait_seconds",
            Unit::Seconds,
            "For how long the oldest wait lasts, 0 without one"
        );
        describe_counter!("locks_lost_total", Unit::Count, "Holds that were lost while they were wanted");
        describe_counter!("locks_renewal_failures_total", Unit::Count, "Renewals of sessions that failed");
        describe_histogram!("locks_session_age_seconds", Unit::Seconds, "How old sessions were when they ended");
        describe_gauge!(
            "leader_election_master_status",
            Unit::Count,
            "1 where this process leads, 0 where it is a candidate"
        );
        describe_counter!(
            "locks_once_total",
            Unit::Count,
            "Calls for work that is done once, by outcome: ran, already_done or failed"
        );
    }
}

pub(super) fn acquired(labels: Labels<'_>, waited: Duration) {
    request_ended(labels, "acquired");
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!("locks_wait_seconds", tags(labels)).record(waited.as_secs_f64());
        metrics::gauge!("locks_held", tags(labels)).increment(1.0);
    }
}

pub(super) fn request_ended(labels: Labels<'_>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    {
        let mut tags = tags(labels);
        tags.push(Label::from_static_parts("outcome", outcome));
        metrics::counter!("locks_acquisitions_total", tags).increment(1);
    }
}

pub(super) fn hold_ended(labels: Labels<'_>, held: Duration) {
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!("locks_hold_seconds", tags(labels)).record(held.as_secs_f64());
        metrics::gauge!("locks_held", tags(labels)).decrement(1.0);
    }
}

pub(super) fn lost(labels: Labels<'_>) {
    #[cfg(feature = "metrics")]
    metrics::counter!("locks_lost_total", tags(labels)).increment(1);
}

pub(super) fn waiting(labels: Labels<'_>, change: f64) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("locks_waiting", tags(labels)).increment(change);
}

/// The age of the oldest hold, and of the oldest wait.
#[cfg(feature = "metrics")]
pub(super) fn oldest(labels: Labels<'_>, hold: Duration, wait: Duration) {
    metrics::gauge!("locks_oldest_hold_seconds", tags(labels)).set(hold.as_secs_f64());
    metrics::gauge!("locks_oldest_wait_seconds", tags(labels)).set(wait.as_secs_f64());
}

pub(super) fn renewal_failed() {
    #[cfg(feature = "metrics")]
    metrics::counter!("locks_renewal_failures_total").increment(1);
}

pub(super) fn session_ended(age: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("locks_session_age_seconds").record(age.as_secs_f64());
}

pub(super) fn leads(labels: Labels<'_>, change: f64) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("leader_election_master_status", "name" => labels.name.to_string()).increment(change);
}

pub(super) fn once_ended(name: &str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("locks_once_total", "name" => name.to_owned(), "outcome" => outcome).increment(1);
}

#[cfg(feature = "metrics")]
fn tags(labels: Labels<'_>) -> Vec<Label> {
    let name = match labels.name {
        Cow::Borrowed(name) => Label::from_static_parts("name", name),
        Cow::Owned(name) => Label::new("name", name.clone()),
    };
    // Room for the outcome.
    let mut tags = Vec::with_capacity(3);
    tags.extend([Label::from_static_parts("key", labels.template), name]);
    tags
}
