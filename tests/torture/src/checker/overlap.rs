//! Exclusion, and the order of fences.

use super::excuses::excused;
use super::spans::Span;
use super::story::{Call, Hold, Story};
use super::{Limits, Rule, Violation};

type Held<'a> = (&'a Call, &'a Hold);

pub(super) fn check(story: &Story, limits: &Limits, key: &str) -> Vec<Violation> {
    let holds = story.holds(key);
    let mut violations = Vec::new();
    for (index, first) in holds.iter().enumerate() {
        let until = story.ran_until(first.0, first.1);
        for second in holds[index + 1..].iter().take_while(|second| second.1.begun < until) {
            violations.extend(overlapping(story, limits, key, *first, *second));
        }
    }
    if story.promises().fencing {
        violations.extend(out_of_order(story, limits, key, &holds));
    }
    violations
}

/// `second` began while `first` ran.
fn overlapping(story: &Story, limits: &Limits, key: &str, first: Held<'_>, second: Held<'_>) -> Option<Violation> {
    // Who began late under an old fence, after a pause, is the one to be asked.
    let late = story.promises().fencing && second.1.fence < first.1.fence;
    let (older, newer) = if late { (second, first) } else { (first, second) };
    if excused(story, limits, older, newer.1) {
        return None;
    }
    let to = story.ran_until(first.0, first.1).min(story.ran_until(second.0, second.1));
    let span = Span::new(second.1.begun, to);
    let what = format!(
        "{} ran under fence {} for {:?} while {} ran under fence {}",
        older.0.by,
        older.1.fence,
        span.length(),
        newer.0.by,
        newer.1.fence
    );
    Some(Violation::new(Rule::Exclusion, key, span, &[first.0, second.0], what))
}

fn out_of_order(story: &Story, limits: &Limits, key: &str, holds: &[Held<'_>]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut highest: Option<Held<'_>> = None;
    for hold in holds {
        match highest {
            Some(before) if hold.1.fence <= before.1.fence => {
                if hold.1.fence == before.1.fence || !excused(story, limits, *hold, before.1) {
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
