//! No entry stays in the store without a call that owns it.

use std::collections::BTreeMap;

use super::history::{Entry, History};
use super::spans::{Span, Timeline, longest_uncovered};
use super::waits::held_until;
use super::{Limits, Rule, Violation, windows};
use crate::clock::nanos;

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut violations: Vec<Violation> = left_behind(history).into_iter().collect();
    let mut entries = entries(history);
    for (name, _) in history.processes.iter().filter(|(_, process)| process.pid != 0) {
        let calls = calls(history, name);
        let is_alive = history.died(name).is_none();
        let state = if is_alive { "has no call for it" } else { "is dead, or had no call for it" };
        for (key, entries) in entries.remove(name.as_str()).unwrap_or_default() {
            let owners = Owners {
                calls: calls.get(key),
                explained: windows::explained_for_entries_of(history, limits, key, name),
                reason: format!("{name} {state}"),
            };
            violations.extend(entries.into_iter().filter_map(|entry| owners.orphaned(history, limits, name, entry)));
        }
    }
    violations
}

/// The entries by process and lock.
fn entries(history: &History) -> BTreeMap<&str, BTreeMap<&str, Vec<&Entry>>> {
    let mut entries: BTreeMap<&str, BTreeMap<&str, Vec<&Entry>>> = BTreeMap::new();
    for entry in &history.entries {
        if let Some(owner) = history.owner(entry) {
            entries.entry(owner).or_default().entry(&entry.key).or_default().push(entry);
        }
    }
    entries
}

/// The calls of a process, by lock: each owns the entries of its lock until it returns, or its `hold_at_least` is over.
fn calls<'a>(history: &'a History, process: &str) -> BTreeMap<&'a str, Timeline<()>> {
    let mut calls: BTreeMap<&str, Vec<(Span, ())>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.process == process) {
        let until = held_until(history, call);
        calls.entry(&call.key).or_default().push((Span::new(call.invoked, until), ()));
    }
    calls.into_iter().map(|(key, calls)| (key, calls.into_iter().collect())).collect()
}

/// What explains the entries of one process for one lock.
struct Owners<'a> {
    calls: Option<&'a Timeline<()>>,
    explained: Timeline<()>,
    reason: String,
}

impl Owners<'_> {
    fn orphaned(&self, history: &History, limits: &Limits, process: &str, entry: &Entry) -> Option<Violation> {
        let Self { calls, explained, reason } = self;
        let owned = calls.iter().flat_map(|calls| windows::within(calls, entry.seen));
        let orphan = longest_uncovered(entry.seen, owned.chain(windows::within(explained, entry.seen)))?;
        // The observer may see it for the first time when its call is over; and the network may deliver a request after the death of
        // whoever has sent it.
        let appeared = entry.seen.from.saturating_sub(nanos(limits.moment));
        let sent = history.died(process).map_or(appeared, |died| appeared.min(died.saturating_sub(1)));
        let put = Span::new(sent, entry.seen.to);
        let longest = history.longest_ttl(&entry.key, put, limits.ttl, |name| name == process);
        let allowed = longest + limits.moment + limits.grace;
        (orphan.length() > allowed).then(|| {
            let length = orphan.length();
            let description =
                format!("entry {} was there for {length:?} although {reason}; {allowed:?} are allowed", entry.name);
            Violation::new(Rule::Orphans, &entry.key, orphan, &[], description)
        })
    }
}

fn left_behind(history: &History) -> Option<Violation> {
    let what = history.left_behind.join(", ");
    let description = format!("although all calls have returned, there still is: {what}");
    let end = Span::new(history.end, history.end);
    (!what.is_empty()).then(|| Violation::new(Rule::Orphans, "(all)", end, &[], description))
}
