//! No call waits while the lock is free, and none is overtaken.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Call, History, Hold};
use super::spans::{Span, Timeline, longest_uncovered};
use super::{Limits, Rule, Violation, foreign, windows};
use crate::clock::{Nanos, nanos};
use crate::history::Wait;

/// How many low bits of a fence count the holds that were handed off under one grant of the store.
const SEQUENCE_BITS: u32 = 12;

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut violations = Vec::new();
    for key in history.keys() {
        let calls: Vec<&Call> = history.calls.iter().filter(|call| call.key == key).collect();
        violations.extend(idle_waits(history, limits, key, &calls));
        if history.promises().queue_order {
            violations.extend(overtaken(history, limits, key, &calls));
        }
    }
    violations
}

/// From the request to the start of the body, or to the end of a call without a body.
pub(super) fn wait(history: &History, call: &Call) -> Span {
    Span::new(call.invoked, call.hold.as_ref().map_or_else(|| history.ended_at(call), |hold| hold.begun))
}

/// As [`wait`], until the time is up: the call leaves the queue then, and may still ask who holds the lock.
fn queued(history: &History, call: &Call) -> Span {
    let whole = wait(history, call);
    match call.wait {
        Wait::Millis(limit) if call.hold.is_none() => {
            Span::new(whole.from, whole.to.min(whole.from.saturating_add(limit * 1_000_000)))
        }
        _ => whole,
    }
}

fn idle_waits(history: &History, limits: &Limits, key: &str, calls: &[&Call]) -> Vec<Violation> {
    let explained = windows::explained(history, limits, key, &windows::involved(history, key));
    let held = calls.iter().filter_map(|call| {
        let hold = call.hold.as_ref()?;
        // With `hold_at_least` it is not free before that is over.
        let until = history.ended_at(call).max(history.kept_until(call).unwrap_or(0));
        Some((Span::new(hold.begun, until), *call))
    });
    let held: Timeline<&Call> = held.collect();
    let foreign: Timeline<()> = foreign::occupied(history, limits, key).into_iter().map(|span| (span, ())).collect();
    let mut violations = Vec::new();
    for call in calls.iter().filter(|call| is_queued(call)) {
        let whole = queued(history, call);
        let covers = held.overlapping(whole).map(|(span, _)| *span).chain(windows::within(&explained, whole));
        let covers = covers.chain(windows::within(&foreign, whole));
        let Some(idle) = longest_uncovered(whole, covers).filter(|idle| idle.length() > limits.moment) else {
            continue;
        };
        let before = held.overlapping(Span::new(0, idle.from + 1)).next_back();
        let next = held.overlapping(Span::new(idle.to, idle.to + 1)).next();
        let around: Vec<&Call> = before.into_iter().chain(next).map(|(_, call)| *call).chain([*call]).collect();
        let description = format!("{} waited for {:?} while the lock was free", call.process, idle.length());
        violations.push(Violation::new(Rule::Progress, key, idle, &around, description));
    }
    violations
}

/// Calls that were overtaken by a later one, although no fault affected either.
fn overtaken(history: &History, limits: &Limits, key: &str, calls: &[&Call]) -> Vec<Violation> {
    let waiting = calls.iter().filter(|call| is_queued(call));
    let waits: Timeline<&Call> = waiting.map(|call| (queued(history, call), *call)).collect();
    let whole_calls: Timeline<&Call> =
        calls.iter().map(|call| (Span::new(call.invoked, in_the_way_until(history, call)), *call)).collect();
    let granted = granted(calls);
    let mut explained = BTreeMap::new();
    let mut violations = Vec::new();
    for (later, hold) in calls.iter().filter_map(|call| Some((*call, call.hold.as_ref()?))) {
        if !is_queued(later) {
            continue;
        }
        let still_waiting = waits.overlapping(Span::new(hold.begun, hold.begun + 1)).map(|(_, call)| *call);
        // For a moment after a grant, the process may hand the lock off to its own waiters, before those of others.
        let handed_off = granted
            .get(&grant_number(hold))
            .is_some_and(|granted| hold.begun > *granted && hold.begun <= granted + nanos(limits.moment));
        let still_waiting = still_waiting.filter(|earlier| !handed_off || is_one_client(earlier, later));
        let first_in_queue = |earlier: &&Call| queued_since(&whole_calls, limits, earlier, later) < later.invoked;
        for earlier in still_waiting.filter(first_in_queue) {
            let span = Span::new(earlier.invoked, hold.begun);
            let both = BTreeSet::from([earlier.process.as_str(), later.process.as_str()]);
            let explained =
                explained.entry(both).or_insert_with_key(|both| windows::explained(history, limits, key, both));
            if windows::within(explained, span).next().is_none() {
                let ahead = Span::new(earlier.invoked, later.invoked).length();
                let description = format!(
                    "{} requested the lock {ahead:?} before {} and got it later",
                    earlier.process, later.process
                );
                violations.push(Violation::new(Rule::Order, key, span, &[earlier, later], description));
            }
        }
    }
    violations
}

/// Whether the call has a position in the lock's queue: a try has none, and one that joins a hold waits for its turn there.
fn is_queued(call: &Call) -> bool {
    call.wait != Wait::Never && call.options.joins.is_none()
}

/// Each client of a process has an entry of its own in the store's queue.
fn is_one_client(one: &Call, other: &Call) -> bool {
    one.process == other.process && one.options.client == other.options.client
}

/// The number of the store's grant that a hold comes from: a process may hand one off among its calls, for a moment.
fn grant_number(hold: &Hold) -> u64 {
    hold.fence >> SEQUENCE_BITS
}

/// When the first hold of each grant began.
fn granted(calls: &[&Call]) -> BTreeMap<u64, Nanos> {
    let mut granted = BTreeMap::new();
    for hold in calls.iter().filter_map(|call| call.hold.as_ref()) {
        let first: &mut Nanos = granted.entry(grant_number(hold)).or_insert(hold.begun);
        *first = hold.begun.min(*first);
    }
    granted
}

/// Until when the call is ahead of the next of its own client: it keeps the lock for as long as it holds at least.
fn in_the_way_until(history: &History, call: &Call) -> Nanos {
    let kept = call.hold.as_ref().zip(call.options.least_ms).map(|(hold, least)| hold.begun + least * 1_000_000);
    history.ended_at(call).max(kept.unwrap_or(0))
}

/// The time from which on no later request may overtake `call`.
///
/// A client has one entry in the store's queue at a time: for other clients, a call is in the queue only when the earlier
/// calls of its own client have ended, and what these hold at least.
fn queued_since(whole_calls: &Timeline<&Call>, limits: &Limits, call: &Call, other: &Call) -> Nanos {
    let queued = call.queued.unwrap_or(call.invoked + nanos(limits.moment));
    if is_one_client(call, other) {
        return queued;
    }
    // Tasks that call at one moment may be in the queue in another order.
    let open = whole_calls.overlapping(Span::new(call.invoked, queued.max(call.invoked + 1)));
    let own = open.filter(|(span, other)| is_one_client(other, call) && span.from < queued);
    let ended = own.filter(|(_, other)| other.id != call.id).map(|(span, _)| span.to).max().unwrap_or(0);
    ended.max(call.invoked) + nanos(limits.moment)
}
