//! Violations as text: the rule, the events in order, the faults that were in effect, and where the history is.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use crate::checker::{Fault, History, Rule, Span, Violation};
use crate::clock::{Nanos, seconds};
use crate::history::Event;

/// So many violations of each rule are described in full.
const IN_FULL: usize = 5;

/// How long before a violation a fault may have caused it.
const BEFORE: Nanos = 10_000_000_000;

/// Describes the violations of a run.
#[must_use]
pub fn report(violations: &[Violation], events: &[Event], seed: u64, directory: &Path) -> String {
    let history = History::from_events(events);
    let mut text = String::new();
    let mut rules: BTreeMap<Rule, usize> = BTreeMap::new();
    for violation in violations {
        let count = rules.entry(violation.rule).or_default();
        *count += 1;
        if *count <= IN_FULL {
            // Writing to a string does not fail.
            let _ = describe(&mut text, violation, events, &history, seed);
        }
    }
    let rules: Vec<String> = rules.into_iter().map(|(rule, count)| format!("{rule:?} {count}")).collect();
    let _ = writeln!(text, "\nviolations by rule: {}", rules.join(", "));
    let _ = writeln!(text, "history and logs: {}", directory.display());
    text
}

fn describe(text: &mut String, violation: &Violation, events: &[Event], history: &History, seed: u64) -> fmt::Result {
    let Violation { rule, key, description, span, .. } = violation;
    let time = |at| seconds(at, history.start);
    writeln!(text, "\nviolation of {rule:?} at {} (seed {seed}): {description}", time(span.from))?;
    writeln!(text, "  lock {key}, from {} to {}", time(span.from), time(span.to))?;
    for event in violation.events(events) {
        writeln!(text, "  {:>12}  {:<6} {:?}", time(event.at), event.process, event.kind)?;
    }
    writeln!(text, "  faults then, and in the {} s before:", BEFORE / 1_000_000_000)?;
    for fault in in_effect(history, *span) {
        let Fault { name, scope, span, .. } = fault;
        writeln!(text, "  {:>12} to {}  {name} ({scope:?})", time(span.from), time(span.to.min(history.end)))?;
    }
    for (name, process) in &history.processes {
        for stall in process.stalls.iter().filter(|stall| may_have_caused(**stall, *span)) {
            writeln!(text, "  {:>12} to {}  {name} was not scheduled", time(stall.from), time(stall.to))?;
        }
    }
    Ok(())
}

fn in_effect(history: &History, span: Span) -> impl Iterator<Item = &Fault> {
    history.faults.iter().filter(move |fault| may_have_caused(fault.span, span))
}

fn may_have_caused(cause: Span, effect: Span) -> bool {
    cause.from <= effect.to && effect.from <= cause.to.saturating_add(BEFORE)
}
