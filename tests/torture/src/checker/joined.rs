//! Calls inside a body that have the same key: they run under the hold of that body, one at a time, and only while it lasts.

use super::call::{Call, Hold};
use super::history::History;
use super::spans::Span;
use super::{Rule, Violation};

pub(super) fn check(history: &History, key: &str) -> Vec<Violation> {
    let holds = history.holds(key);
    let joined = holds.iter().filter_map(|(call, hold)| Some((call.options.joins?, *call, *hold)));
    let joined: Vec<(u64, &Call, &Hold)> = joined.collect();
    let mut violations = Vec::new();
    for (index, (outer, call, hold)) in joined.iter().enumerate() {
        let owner = holds.iter().find(|(owner, _)| owner.process == call.process && owner.id == *outer);
        violations.extend(owner.map_or_else(
            || Some(violation(history, (call, hold), None, "outside the body that it was to join")),
            |owner| outside(history, (call, hold), *owner),
        ));
        let others = joined[index + 1..].iter().filter(|(of, other, _)| of == outer && other.process == call.process);
        let beside = others.filter(|(_, _, other)| other.begun < history.ran_until(call, hold));
        violations.extend(beside.map(|(_, other, _)| {
            violation(history, (call, hold), Some(other), "beside another one inside the same body")
        }));
    }
    violations.extend(history.calls.iter().filter(|call| call.key == key).filter_map(inherited));
    violations
}

/// Why a body that joined a hold was not under it.
fn outside(history: &History, inner: (&Call, &Hold), outer: (&Call, &Hold)) -> Option<Violation> {
    let begun = inner.1.begun;
    let lost = outer.1.heartbeats.iter().find(|(at, held)| *at < begun && !held);
    let why = if let Some((at, _)) = lost {
        let known = Span::new(*at, begun).length();
        format!("{known:?} after the hold that it joined was known to be lost")
    } else if inner.1.fence != outer.1.fence {
        format!("under fence {}, and the body that it is inside under {}", inner.1.fence, outer.1.fence)
    } else if begun < outer.1.begun || outer.1.ended.is_some_and(|(end, _)| history.ran_until(inner.0, inner.1) > end) {
        // The end of a body in a process that was killed is not known.
        "for longer than the body that it is inside".to_owned()
    } else {
        return None;
    };
    Some(violation(history, inner, Some(outer.0), &why))
}

fn violation(history: &History, inner: (&Call, &Hold), other: Option<&Call>, why: &str) -> Violation {
    let (call, hold) = inner;
    let span = Span::new(hold.begun, history.ran_until(call, hold));
    let calls: Vec<&Call> = other.into_iter().chain([call]).collect();
    Violation::new(Rule::Exclusion, &call.key, span, &calls, format!("an inner body of {} ran {why}", call.process))
}

/// A hold is not inherited.
fn inherited(call: &Call) -> Option<Violation> {
    let at = call.inherited?;
    let description = format!("a child that {} forked believes that it holds the lock of its parent", call.process);
    Some(Violation::new(Rule::Exclusion, &call.key, Span::new(at, at), &[call], description))
}
