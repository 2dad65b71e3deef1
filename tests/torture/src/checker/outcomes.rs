//! What calls report of the store is true.

use std::collections::BTreeSet;
use std::time::Duration;

use super::history::{Call, History};
use super::spans::Span;
use super::{Limits, Rule, Violation, windows};
use crate::history::{Outcome, Wait};

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    history.calls.iter().filter_map(|call| unexpected(history, limits, call)).collect()
}

fn unexpected(history: &History, limits: &Limits, call: &Call) -> Option<Violation> {
    let (returned, outcome) = call.returned?;
    let whole = Span::new(call.invoked, returned);
    let what = match outcome {
        Outcome::Failed => "failed in an unexpected way",
        // On a busy machine an answer takes a moment, which is all the time that some calls have.
        Outcome::Unavailable if matches!(call.wait, Wait::Millis(limit) if Duration::from_millis(limit) < limits.moment) =>
        {
            return None;
        }
        Outcome::Unavailable if !is_explained(history, limits, call, whole) => "reported an outage, and there was none",
        Outcome::Lost if !is_explained(history, limits, call, whole) => "lost its lock, and nothing was wrong",
        Outcome::Refused if !is_explained(history, limits, call, whole) => "was refused, and no right was missing",
        _ => return None,
    };
    let description = format!("a call of {} {what}", call.process);
    Some(Violation::new(Rule::Outcome, &call.key, whole, &[call], description))
}

fn is_explained(history: &History, limits: &Limits, call: &Call, whole: Span) -> bool {
    let explained = windows::explained(history, limits, &BTreeSet::from([call.process.as_str()]));
    let of_lock = windows::of_lock(history, limits, &call.key);
    [explained, of_lock].iter().any(|windows| windows::within(windows, whole).next().is_some())
}
