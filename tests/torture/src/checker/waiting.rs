//! Waiting: never for nothing, and never out of turn.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::{Span, Timeline, longest_uncovered};
use super::story::{Call, Hold, Story};
use super::{Limits, Rule, Violation, windows};
use crate::clock::{Nanos, nanos};
use crate::history::Wait;

/// Two tasks of one process may ask in one order and come to the line in another, if they do so at the same time.
const SAME_TIME: Nanos = 100_000_000;

/// How many low bits of a fence count the holds that came from one grant of the store.
const SEQUENCE_BITS: u32 = 12;

pub(super) fn check(story: &Story, limits: &Limits) -> Vec<Violation> {
    let mut violations = Vec::new();
    for key in story.keys() {
        let calls: Vec<&Call> = story.calls.iter().filter(|call| call.key == key).collect();
        violations.extend(while_free(story, limits, key, &calls));
        if story.promises().queue_order {
            violations.extend(out_of_turn(story, limits, key, &calls));
        }
    }
    violations
}

/// From the question to the body, or to the answer that there will be none.
pub(super) fn wait(story: &Story, call: &Call) -> Span {
    Span::new(call.asked, call.hold.as_ref().map_or_else(|| story.over_at(call), |hold| hold.begun))
}

fn while_free(story: &Story, limits: &Limits, key: &str, calls: &[&Call]) -> Vec<Violation> {
    let explained = windows::explained(story, limits, &windows::involved(story, key));
    let held = calls.iter().filter_map(|call| {
        let hold = call.hold.as_ref()?;
        Some((Span::new(hold.begun, story.over_at(call)), *call))
    });
    let held: Timeline<&Call> = held.collect();
    let mut violations = Vec::new();
    for call in calls.iter().filter(|call| call.wait != Wait::Never) {
        let whole = wait(story, call);
        let covers = held.meeting(whole).map(|(span, _)| *span).chain(windows::within(&explained, whole));
        let Some(idle) = longest_uncovered(whole, covers).filter(|idle| idle.length() > limits.moment) else {
            continue;
        };
        let before = held.meeting(Span::new(0, idle.from + 1)).next_back();
        let next = held.meeting(Span::new(idle.to, idle.to + 1)).next();
        let around: Vec<&Call> = before.into_iter().chain(next).map(|(_, call)| *call).chain([*call]).collect();
        let what = format!("{} waited for {:?} while nobody held the lock", call.by, idle.length());
        violations.push(Violation::new(Rule::Free, key, idle, &around, what));
    }
    violations
}

/// One who came later was served first, though nothing disturbed either.
fn out_of_turn(story: &Story, limits: &Limits, key: &str, calls: &[&Call]) -> Vec<Violation> {
    let patient = calls.iter().filter(|call| call.wait != Wait::Never);
    let waits: Timeline<&Call> = patient.map(|call| (wait(story, call), *call)).collect();
    let stays: Timeline<&Call> = calls.iter().map(|call| (Span::new(call.asked, story.over_at(call)), *call)).collect();
    let granted = granted(calls);
    let mut violations = Vec::new();
    for (later, hold) in calls.iter().filter_map(|call| Some((*call, call.hold.as_ref()?))) {
        if later.wait == Wait::Never {
            continue;
        }
        let still_waiting = waits.meeting(Span::new(hold.begun, hold.begun + 1)).map(|(_, call)| *call);
        // Others need not be asked as long as a process may pass the lock on among its own.
        let passed_on = granted
            .get(&number(hold))
            .is_some_and(|granted| hold.begun > *granted && hold.begun <= granted + nanos(limits.moment));
        let still_waiting = still_waiting.filter(|earlier| !passed_on || earlier.by == later.by);
        for earlier in still_waiting.filter(|earlier| standing_since(&stays, limits, earlier, later) < later.asked) {
            if is_calm(story, limits, earlier, later, hold.begun) {
                let span = Span::new(earlier.asked, hold.begun);
                let first = Span::new(earlier.asked, later.asked).length();
                let what = format!("{} asked {first:?} before {} and was served after it", earlier.by, later.by);
                violations.push(Violation::new(Rule::Order, key, span, &[earlier, later], what));
            }
        }
    }
    violations
}

/// Which grant of the store a hold comes from: a process may pass one on among its own calls, for a moment.
fn number(hold: &Hold) -> u64 {
    hold.fence >> SEQUENCE_BITS
}

/// When the first hold of each grant began.
fn granted(calls: &[&Call]) -> BTreeMap<u64, Nanos> {
    let mut granted = BTreeMap::new();
    for hold in calls.iter().filter_map(|call| call.hold.as_ref()) {
        let first: &mut Nanos = granted.entry(number(hold)).or_insert(hold.begun);
        *first = hold.begun.min(*first);
    }
    granted
}

/// The moment from which on nobody who asks may be served before `call`.
///
/// A process stands in the store's line once: towards others a call stands there when those of its own process that
/// came before it are through.
fn standing_since(stays: &Timeline<&Call>, limits: &Limits, call: &Call, other: &Call) -> Nanos {
    if call.by == other.by {
        return call.asked + SAME_TIME;
    }
    let before = stays.meeting(Span::new(call.asked, call.asked + 1));
    let own = before.filter(|(stay, other)| other.by == call.by && stay.from < call.asked + SAME_TIME);
    let through = own.filter(|(_, other)| other.id != call.id).map(|(stay, _)| stay.to).max().unwrap_or(0);
    through.max(call.asked) + nanos(limits.moment)
}

fn is_calm(story: &Story, limits: &Limits, earlier: &Call, later: &Call, until: Nanos) -> bool {
    let both = BTreeSet::from([earlier.by.as_str(), later.by.as_str()]);
    let whole = Span::new(earlier.asked, until);
    windows::within(&windows::explained(story, limits, &both), whole).next().is_none()
}
