//! Nothing stays in the store whose owner is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::{Span, Timeline, longest_uncovered};
use super::story::{Entry, Story};
use super::{Limits, Rule, Violation, windows};

pub(super) fn check(story: &Story, limits: &Limits) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, process) in story.processes.iter().filter(|(_, process)| process.pid != 0) {
        // Of the process itself only what keeps it from withdrawing: its death explains no more than a TTL.
        let alive = process.died.is_none();
        let explaining = if alive { BTreeSet::from([name.as_str()]) } else { BTreeSet::new() };
        let explained = windows::explained(story, limits, &explaining);
        let calls = calls(story, name);
        let state = if alive { "has no call for it" } else { "is dead, or had no call for it" };
        for entry in story.entries.iter().filter(|entry| entry.pid == process.pid) {
            violations.extend(left_over(limits, entry, &calls, &explained, &format!("{name} {state}")));
        }
    }
    violations
}

/// The calls of a process, by lock: an entry is owned as long as one is on its way.
fn calls<'a>(story: &'a Story, process: &str) -> BTreeMap<&'a str, Timeline<()>> {
    let mut calls: BTreeMap<&str, Vec<(Span, ())>> = BTreeMap::new();
    for call in story.calls.iter().filter(|call| call.by == process) {
        calls.entry(&call.key).or_default().push((Span::new(call.asked, story.over_at(call)), ()));
    }
    calls.into_iter().map(|(key, calls)| (key, calls.into_iter().collect())).collect()
}

fn left_over(
    limits: &Limits,
    entry: &Entry,
    calls: &BTreeMap<&str, Timeline<()>>,
    explained: &Timeline<()>,
    orphaned: &str,
) -> Option<Violation> {
    let owned = calls.get(entry.key.as_str()).into_iter().flat_map(|calls| windows::within(calls, entry.seen));
    let orphan = longest_uncovered(entry.seen, owned.chain(windows::within(explained, entry.seen)))?;
    let allowed = limits.ttl + limits.moment + limits.grace;
    (orphan.length() > allowed).then(|| {
        let there = orphan.length();
        let what = format!("entry {} was there for {there:?} although {orphaned}; {allowed:?} are allowed", entry.name);
        Violation::new(Rule::Leftovers, &entry.key, orphan, &[], what)
    })
}
