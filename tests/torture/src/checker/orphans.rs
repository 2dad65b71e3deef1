//! No entry stays in the store without a call that owns it.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Entry, History};
use super::spans::{Span, Timeline, longest_uncovered};
use super::{Limits, Rule, Violation, windows};

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut violations: Vec<Violation> = left_behind(history).into_iter().collect();
    let of_locks: BTreeMap<&str, Timeline<()>> =
        history.keys().into_iter().map(|key| (key, windows::of_lock(history, limits, key))).collect();
    for (name, process) in history.processes.iter().filter(|(_, process)| process.pid != 0) {
        // A fault of the process itself explains an entry only while the process lives: a dead one's lapses after a TTL.
        let alive = process.died.is_none();
        let explaining = if alive { BTreeSet::from([name.as_str()]) } else { BTreeSet::new() };
        let explained = windows::explained(history, limits, &explaining);
        let calls = calls(history, name);
        let state = if alive { "has no call for it" } else { "is dead, or had no call for it" };
        for entry in history.entries.iter().filter(|entry| entry.pid == process.pid) {
            let owned = calls.get(entry.key.as_str()).into_iter();
            let of_lock = of_locks.get(entry.key.as_str()).into_iter();
            let explaining =
                owned.chain(of_lock).chain([&explained]).flat_map(|spans| windows::within(spans, entry.seen));
            violations.extend(orphaned(limits, entry, explaining, &format!("{name} {state}")));
        }
    }
    violations
}

/// The calls of a process, by lock: each owns the entries of its lock until it returns.
fn calls<'a>(history: &'a History, process: &str) -> BTreeMap<&'a str, Timeline<()>> {
    let mut calls: BTreeMap<&str, Vec<(Span, ())>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.process == process) {
        calls.entry(&call.key).or_default().push((Span::new(call.invoked, history.ended_at(call)), ()));
    }
    calls.into_iter().map(|(key, calls)| (key, calls.into_iter().collect())).collect()
}

fn left_behind(history: &History) -> Option<Violation> {
    let what = history.left_behind.join(", ");
    let description = format!("although all calls have returned, there still is: {what}");
    let end = Span::new(history.end, history.end);
    (!what.is_empty()).then(|| Violation::new(Rule::Orphans, "(all)", end, &[], description))
}

fn orphaned(limits: &Limits, entry: &Entry, explaining: impl Iterator<Item = Span>, reason: &str) -> Option<Violation> {
    let orphan = longest_uncovered(entry.seen, explaining)?;
    let allowed = limits.ttl + limits.moment + limits.grace;
    (orphan.length() > allowed).then(|| {
        let length = orphan.length();
        let description =
            format!("entry {} was there for {length:?} although {reason}; {allowed:?} are allowed", entry.name);
        Violation::new(Rule::Orphans, &entry.key, orphan, &[], description)
    })
}
