//! A violation, for people: which rule, what happened in order, what was in force, and where everything is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::checker::{Fault, Rule, Span, Story, Violation};
use crate::clock::seconds;
use crate::history::Event;

/// So many are told in full.
const IN_FULL: usize = 5;

/// How long before a violation a fault may have caused it.
const BEFORE: u64 = 10_000_000_000;

/// All about these violations of a run.
#[must_use]
pub fn report(violations: &[Violation], events: &[Event], seed: u64, directory: &Path) -> String {
    let story = Story::of(events);
    let mut text = String::new();
    for violation in violations.iter().take(IN_FULL) {
        // Writing to a string does not fail.
        let _ = tell(&mut text, violation, events, &story, seed);
    }
    let mut rules: BTreeMap<Rule, usize> = BTreeMap::new();
    violations.iter().for_each(|violation| *rules.entry(violation.rule).or_default() += 1);
    let rules: Vec<String> = rules.into_iter().map(|(rule, count)| format!("{rule:?} {count}")).collect();
    let _ = writeln!(text, "\nhow often each rule was broken: {}", rules.join(", "));
    let _ = writeln!(text, "the history and the logs are kept in {}", directory.display());
    text
}

fn tell(text: &mut String, violation: &Violation, events: &[Event], story: &Story, seed: u64) -> std::fmt::Result {
    let Violation { rule, key, what, span, .. } = violation;
    let time = |at| seconds(at, story.start);
    writeln!(text, "\n{rule:?} is broken at {} (seed {seed}): {what}", time(span.from))?;
    writeln!(text, "  lock {key}, from {} to {}", time(span.from), time(span.to))?;
    for event in violation.events(events) {
        writeln!(text, "  {:>12}  {:<6} {:?}", time(event.at), event.by, event.what)?;
    }
    writeln!(text, "  in force then, or in the {} s before:", BEFORE / 1_000_000_000)?;
    for fault in in_force(story, *span) {
        let Fault { name, scope, span, .. } = fault;
        writeln!(text, "  {:>12} to {}  {name} ({scope:?})", time(span.from), time(span.to.min(story.end)))?;
    }
    for (name, process) in &story.processes {
        for stall in process.stalls.iter().filter(|stall| meets(**stall, *span)) {
            writeln!(text, "  {:>12} to {}  {name} got no turn", time(stall.from), time(stall.to))?;
        }
    }
    Ok(())
}

fn in_force(story: &Story, span: Span) -> impl Iterator<Item = &Fault> {
    story.faults.iter().filter(move |fault| meets(fault.span, span))
}

fn meets(cause: Span, effect: Span) -> bool {
    cause.from <= effect.to && effect.from <= cause.to.saturating_add(BEFORE)
}
