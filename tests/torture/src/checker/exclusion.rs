//! Exclusion, and the order of fences.

use std::collections::BTreeMap;

use distributed_locks::Mode;

use super::call::{Call, Hold};
use super::excuses::{Excuse, excuse};
use super::history::History;
use super::spans::Span;
use super::{Limits, Rule, Violation};
use crate::clock::nanos;

type Held<'a> = (&'a Call, &'a Hold);

pub(super) fn check(history: &History, limits: &Limits, key: &str) -> Vec<Violation> {
    let holds = history.holds(key);
    let mut violations = Vec::new();
    for (older, newer) in overlaps(history, &holds) {
        if excuse(history, limits, older, newer.1).is_none() {
            violations.push(overlapping(history, key, older, newer));
        }
    }
    if history.promises().fencing {
        violations.extend(out_of_order(history, limits, key, &holds));
    }
    violations
}

/// How often two bodies ran at one time, by excuse.
pub(super) fn excuses(history: &History, limits: &Limits) -> BTreeMap<Excuse, usize> {
    let mut counts = BTreeMap::new();
    for key in history.keys() {
        let overlaps = overlaps(history, &history.holds(key));
        for excuse in overlaps.into_iter().filter_map(|(older, newer)| excuse(history, limits, older, newer.1)) {
            *counts.entry(excuse).or_default() += 1;
        }
    }
    counts
}

/// Pairs of bodies that ran at one time and must not: first the one that should have stopped, then the holder.
fn overlaps<'a>(history: &History, holds: &[Held<'a>]) -> Vec<(Held<'a>, Held<'a>)> {
    let fencing = history.promises().fencing;
    let mut overlaps = Vec::new();
    for (index, first) in holds.iter().enumerate() {
        let until = history.ran_until(first.0, first.1);
        let others = holds[index + 1..].iter().take_while(|second| second.1.begun < until);
        // Those that joined a hold have a rule of their own.
        let others = others.filter(|second| !is_one_hold(first.0, second.0));
        for second in others.filter(|second| !first.0.may_be_beside(second.0)) {
            // A body that began late under an old fence, after a pause, is the one that should have stopped.
            let late = fencing && second.1.fence < first.1.fence;
            overlaps.push(if late { (*second, *first) } else { (*first, *second) });
        }
    }
    overlaps
}

/// Whether one of the calls joined the other's hold, or both that of a third one.
fn is_one_hold(one: &Call, other: &Call) -> bool {
    let owner = |call: &Call| call.options.joins.unwrap_or(call.id);
    one.process == other.process && owner(one) == owner(other)
}

fn overlapping(history: &History, key: &str, older: Held<'_>, newer: Held<'_>) -> Violation {
    let to = history.ran_until(older.0, older.1).min(history.ran_until(newer.0, newer.1));
    let span = Span::new(older.1.begun.max(newer.1.begun), to);
    let description = format!(
        "{} ran under fence {} for {:?} while {} ran under fence {}",
        older.0.process,
        older.1.fence,
        span.length(),
        newer.0.process,
        newer.1.fence
    );
    Violation::new(Rule::Exclusion, key, span, &[older.0, newer.0], description)
}

/// Fences that are not above those before them: an exclusive hold's is above all, and the others' above those of exclusive ones.
fn out_of_order(history: &History, limits: &Limits, key: &str, holds: &[Held<'_>]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let (mut of_all, mut of_exclusive): (Option<Held<'_>>, Option<Held<'_>>) = (None, None);
    for hold in holds.iter().filter(|hold| hold.0.options.joins.is_none()) {
        let is_exclusive = hold.0.mode == Mode::Exclusive;
        match if is_exclusive { of_all } else { of_exclusive } {
            Some(before) if hold.1.fence <= before.1.fence => {
                let is_excused = excuse(history, limits, *hold, before.1).is_some()
                    || counter_was_forgotten(history, limits, before.1, hold.1);
                if hold.1.fence == before.1.fence || !is_excused {
                    let span = Span::new(before.1.begun, hold.1.begun);
                    let description = format!("fence {} came after {}", hold.1.fence, before.1.fence);
                    violations.push(Violation::new(Rule::Fences, key, span, &[before.0, hold.0], description));
                }
            }
            _ => {
                of_all = of_all.filter(|before| before.1.fence >= hold.1.fence).or(Some(*hold));
                if is_exclusive {
                    of_exclusive = Some(*hold);
                }
            }
        }
    }
    violations
}

/// A directory whose files somebody deleted goes on from the clock, of which its counter may have been a moment ahead: the one
/// before held still, or had a moment ago, and had begun no longer ago than that.
fn counter_was_forgotten(history: &History, limits: &Limits, before: &Hold, hold: &Hold) -> bool {
    history.faults.iter().any(|fault| {
        let Some(within) = fault.files_deleted(limits) else { return false };
        let span = fault.carried_out();
        let is_soon = span.from <= hold.begun && hold.begun <= span.extended(within).to;
        let is_recent = before.begun <= span.to && span.from <= before.begun.saturating_add(nanos(within));
        is_recent && is_soon
    })
}
