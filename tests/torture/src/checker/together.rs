//! Several locks at one moment: a call has all of them or none, in its body and in the store.

use std::collections::{BTreeMap, BTreeSet};

use super::call::Call;
use super::history::{Entry, History};
use super::spans::{Span, longest_uncovered};
use super::{Limits, Rule, Violation, windows};

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let bodies = history.calls.iter().filter_map(missing_in_body);
    bodies.chain(halves(history, limits)).collect()
}

/// The body does not know a fence of each of its locks.
fn missing_in_body(call: &Call) -> Option<Violation> {
    let hold = call.hold.as_ref().filter(|hold| hold.fence == 0 && !call.others.is_empty())?;
    let description = format!(
        "{} ran a body for several locks that has no fence of this one: the others are {}",
        call.process,
        call.others.join(", ")
    );
    Some(Violation::new(Rule::Together, &call.key, Span::new(hold.begun, hold.begun), &[call], description))
}

/// Requests that had an entry for some of their locks, and not for all, for longer than the observer may need to see them.
fn halves(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut requests: BTreeMap<(u32, Option<&str>, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in &history.entries {
        if let Some(request) = &entry.request {
            requests.entry((entry.pid, history.owner(entry), request)).or_default().push(entry);
        }
    }
    let several = requests.into_iter().filter(|(_, entries)| entries.iter().any(|entry| entry.key != entries[0].key));
    several.filter_map(|((_, owner, request), entries)| half(history, limits, owner, request, &entries)).collect()
}

fn half(
    history: &History,
    limits: &Limits,
    owner: Option<&str>,
    request: &str,
    entries: &[&Entry],
) -> Option<Violation> {
    let from = entries.iter().map(|entry| entry.seen.from).min()?;
    let to = entries.iter().map(|entry| entry.seen.to).max()?;
    let whole = Span::new(from, to);
    let keys: BTreeSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let missing = keys.iter().filter_map(|key| {
        let there: Vec<Span> = entries.iter().filter(|entry| entry.key == *key).map(|entry| entry.seen).collect();
        // A store that is set back may show all of them a second time: between, none is there.
        let others = || entries.iter().filter(|entry| entry.key != *key).map(|entry| entry.seen);
        let alone = |covers: &[Span]| {
            let alone = others().filter_map(|other| longest_uncovered(other, covers.iter().copied()));
            alone.max_by_key(|span| span.length()).filter(|span| span.length() > limits.moment)
        };
        alone(&there)?;
        let explained = windows::explained_for_entries(history, limits, key, &owner.into_iter().collect());
        let covers: Vec<Span> = there.into_iter().chain(windows::within(&explained, whole)).collect();
        Some((alone(&covers)?, *key))
    });
    let (span, key) = missing.max_by_key(|(span, _)| span.length())?;
    let others: Vec<&str> = keys.iter().filter(|other| **other != key).copied().collect();
    let process = owner.unwrap_or("a process");
    let description = format!(
        "request {request} of {process} was in the line of {} for {:?} without being in that of this lock, which it has asked for, \
         too: it takes or releases them one after another",
        others.join(", "),
        span.length()
    );
    Some(Violation::new(Rule::Together, key, span, &[], description))
}
