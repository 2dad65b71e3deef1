//! What calls report of the store is true.

use std::collections::BTreeSet;
use std::time::Duration;

use super::call::Call;
use super::history::History;
use super::spans::Span;
use super::{Limits, Rule, Violation, windows};
use crate::history::{Outcome, Wait};

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    history.requests().filter_map(|call| unexpected(history, limits, call)).collect()
}

fn unexpected(history: &History, limits: &Limits, call: &Call) -> Option<Violation> {
    let (returned, outcome) = call.returned?;
    if !matches!(outcome, Outcome::Failed | Outcome::Unavailable | Outcome::Lost | Outcome::Refused) {
        return None;
    }
    // A hold that is joined was lost with the call that it belongs to.
    let owner = call
        .options
        .joins
        .and_then(|id| history.calls.iter().find(|owner| owner.process == call.process && owner.id == id));
    let whole = Span::new(owner.unwrap_or(call).invoked, returned);
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
    let process = BTreeSet::from([call.process.as_str()]);
    // What happens to one of several locks happens to the call.
    call.keys().any(|key| {
        let explained = match call.returned {
            Some((_, Outcome::Lost)) => windows::explained_for_entries(history, limits, key, &process),
            _ => windows::explained(history, limits, key, &process),
        };
        windows::within(&explained, whole).next().is_some()
    })
}
