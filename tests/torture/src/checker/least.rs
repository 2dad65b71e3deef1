//! `hold_at_least`: nobody holds the lock before that time is over, however the body, the call or the process ended.

use std::time::Duration;

use super::call::{Call, Hold};
use super::history::History;
use super::spans::Span;
use super::{Limits, Rule, Violation};
use crate::clock::{Nanos, nanos};
use crate::history::{Outcome, Scope};

/// By how much the clocks of the holder and of the store may differ in that time.
const TOLERANCE: Duration = Duration::from_millis(50);

pub(super) fn check(history: &History, limits: &Limits, key: &str) -> Vec<Violation> {
    let holds = history.holds(key);
    let mut violations = Vec::new();
    for (index, (call, hold)) in holds.iter().enumerate() {
        let Some(least) = call.options.least_ms else { continue };
        let granted = granted(&holds[..index], call);
        let until = granted + least * 1_000_000 - nanos(TOLERANCE);
        // Those that joined a hold are under it.
        let next = holds[index + 1..].iter().find(|(next, body)| {
            next.options.joins.is_none()
                && !next.may_be_beside(call)
                && !is_late(history, limits, (next, body), (granted, hold))
        });
        let Some((next, begun)) = next.map(|(next, hold)| (*next, hold.begun)).filter(|(_, begun)| *begun < until)
        else {
            continue;
        };
        let span = Span::new(begun, until);
        // The hold that it joined may be gone already, and its process not know it yet.
        let joined =
            holds.iter().find(|(outer, _)| outer.process == call.process && Some(outer.id) == call.options.joins);
        let since = joined.map_or(call.invoked, |(outer, _)| outer.invoked);
        if is_taken_away(history, &call.process, Span::new(since, begun)) {
            continue;
        }
        let description = format!(
            "{} began a body {:?} before the end of the `hold_at_least` of {least} ms that {} had asked for",
            next.process,
            span.length(),
            call.process
        );
        let fences = format!(" (fence {})", hold.fence);
        violations.push(Violation::new(Rule::Exclusion, key, span, &[call, next], description + &fences));
    }
    violations
}

/// Until when the call is certain to have the lock for its `hold_at_least`, if it has one; `before` are the holds before it.
pub(super) fn kept_until(before: &[(&Call, &Hold)], call: &Call, hold: &Hold) -> Option<Nanos> {
    let least = call.options.least_ms? * 1_000_000;
    Some((granted(before, call) + least).saturating_sub(nanos(TOLERANCE)).max(hold.begun))
}

/// The earliest time at which the call may have been granted the lock: the time counts from there.
fn granted(before: &[(&Call, &Hold)], call: &Call) -> Nanos {
    if call.options.joins.is_some() {
        return call.invoked;
    }
    let is_in_the_way = |before: &Call| before.options.joins.is_none() && !before.may_be_beside(call);
    let released = before.iter().rev().find(|(before, _)| is_in_the_way(before)).and_then(|(before, hold)| {
        // One that was lost had gone to another before its body ended.
        let is_normal = before.returned.is_some_and(|(_, outcome)| outcome == Outcome::Ran);
        hold.ended.filter(|_| is_normal && before.stoppable).map(|(at, _)| at)
    });
    call.invoked.max(released.unwrap_or(0)).min(call.hold.as_ref().map_or(Nanos::MAX, |hold| hold.begun))
}

/// Whether this body began late under a hold that was over before the other one was granted, because its process was not
/// scheduled. Whether it may be seen beside another body is for the rule of exclusion to say.
fn is_late(history: &History, limits: &Limits, body: (&Call, &Hold), other: (Nanos, &Hold)) -> bool {
    let (call, hold) = body;
    let (granted, other) = other;
    if history.promises().fencing {
        return hold.fence < other.fence;
    }
    // It is noted when it was over by somebody who may have been resumed after the body.
    let grace = nanos(limits.grace);
    let has_just_resumed = |stall: &Span| stall.from <= granted && hold.begun.abs_diff(stall.to) <= grace;
    history.stalls(&call.process).iter().any(has_just_resumed)
}

/// Whether somebody else may have taken a lease of this process away in this time.
pub(super) fn is_taken_away(history: &History, process: &str, span: Span) -> bool {
    let may_take = |scope: &Scope| match scope {
        Scope::Revocation(of) => of == process,
        Scope::OldLeader | Scope::Forgotten(_) | Scope::FormerPrimary(_) => true,
        _ => false,
    };
    history.faults.iter().any(|fault| may_take(&fault.scope) && fault.carried_out().overlaps(span))
}
