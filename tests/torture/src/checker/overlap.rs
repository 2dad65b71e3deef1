//! Exclusion, and the order of fences.

use std::collections::BTreeMap;

use super::excuses::{Excuse, excuse};
use super::spans::Span;
use super::story::{Call, Hold, Story};
use super::{Limits, Rule, Violation};

type Held<'a> = (&'a Call, &'a Hold);

pub(super) fn check(story: &Story, limits: &Limits, key: &str) -> Vec<Violation> {
    let holds = story.holds(key);
    let mut violations = Vec::new();
    for (older, newer) in overlaps(story, &holds) {
        if excuse(story, limits, older, newer.1).is_none() {
            violations.push(overlapping(story, key, older, newer));
        }
    }
    if story.promises().fencing {
        violations.extend(out_of_order(story, limits, key, &holds));
    }
    violations
}

/// How often two bodies ran at one time, by what excuses it.
pub(super) fn excuses(story: &Story, limits: &Limits) -> BTreeMap<Excuse, usize> {
    let mut counts = BTreeMap::new();
    for key in story.keys() {
        let overlaps = overlaps(story, &story.holds(key));
        for excuse in overlaps.into_iter().filter_map(|(older, newer)| excuse(story, limits, older, newer.1)) {
            *counts.entry(excuse).or_default() += 1;
        }
    }
    counts
}

/// Those who ran at one time: first who should have stopped, then who held the lock.
fn overlaps<'a>(story: &Story, holds: &[Held<'a>]) -> Vec<(Held<'a>, Held<'a>)> {
    let fencing = story.promises().fencing;
    let mut overlaps = Vec::new();
    for (index, first) in holds.iter().enumerate() {
        let until = story.ran_until(first.0, first.1);
        for second in holds[index + 1..].iter().take_while(|second| second.1.begun < until) {
            // Who began late under an old fence, after a pause, is the one to be asked.
            let late = fencing && second.1.fence < first.1.fence;
            overlaps.push(if late { (*second, *first) } else { (*first, *second) });
        }
    }
    overlaps
}

fn overlapping(story: &Story, key: &str, older: Held<'_>, newer: Held<'_>) -> Violation {
    let to = story.ran_until(older.0, older.1).min(story.ran_until(newer.0, newer.1));
    let span = Span::new(older.1.begun.max(newer.1.begun), to);
    let what = format!(
        "{} ran under fence {} for {:?} while {} ran under fence {}",
        older.0.by,
        older.1.fence,
        span.length(),
        newer.0.by,
        newer.1.fence
    );
    Violation::new(Rule::Exclusion, key, span, &[older.0, newer.0], what)
}

fn out_of_order(story: &Story, limits: &Limits, key: &str, holds: &[Held<'_>]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut highest: Option<Held<'_>> = None;
    for hold in holds {
        match highest {
            Some(before) if hold.1.fence <= before.1.fence => {
                if hold.1.fence == before.1.fence || excuse(story, limits, *hold, before.1).is_none() {
                    let span = Span::new(before.1.begun, hold.1.begun);
                    let what = format!("fence {} came after {}", hold.1.fence, before.1.fence);
                    violations.push(Violation::new(Rule::Fences, key, span, &[before.0, hold.0], what));
                }
            }
            _ => highest = Some(*hold),
        }
    }
    violations
}
