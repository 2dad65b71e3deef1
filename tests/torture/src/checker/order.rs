//! First in, first out.

use std::collections::{BTreeMap, BTreeSet};

use distributed_locks::Mode;

use super::call::{Call, Hold};
use super::history::History;
use super::spans::{Span, Timeline};
use super::waits::{held_until, is_queued, queued, wait};
use super::{Limits, Rule, Violation, windows};
use crate::clock::{Nanos, nanos};
use crate::history::Outcome;

/// How many low bits of a fence count the holds that were handed off under one grant of the store.
const SEQUENCE_BITS: u32 = 12;

/// Calls that were overtaken by a later one, although no fault affected either.
pub(super) fn check(history: &History, limits: &Limits, queues: &Queues<'_>) -> Vec<Violation> {
    history.keys().into_iter().flat_map(|key| overtaken(history, limits, key, queues)).collect()
}

fn overtaken(history: &History, limits: &Limits, key: &str, queues: &Queues<'_>) -> Vec<Violation> {
    let calls: Vec<&Call> = history.calls.iter().filter(|call| call.key == key).collect();
    let waiting = calls.iter().filter(|call| is_queued(call));
    let waits: Timeline<&Call> = waiting.map(|call| (queued(history, call), *call)).collect();
    let granted = granted(&calls);
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
        let still_waiting = still_waiting.filter(|earlier| !has_just_been_dropped(limits, earlier, hold));
        let passed = still_waiting.filter(|earlier| {
            queues.since(earlier, later) < later.invoked && is_passed(history, limits, earlier, (later, hold))
        });
        for earlier in passed {
            let span = Span::new(earlier.invoked, hold.begun);
            let both = BTreeSet::from([earlier.process.as_str(), later.process.as_str()]);
            let explained =
                explained.entry(both).or_insert_with_key(|both| windows::explained(history, limits, key, both));
            if windows::within(explained, span).next().is_none() {
                let ahead = Span::new(earlier.invoked, later.invoked).length();
                let description = format!(
                    "{} requested the lock as {} {ahead:?} before {} did as {}, and got it later",
                    earlier.process, earlier.mode, later.process, later.mode
                );
                violations.push(Violation::new(Rule::Order, key, span, &[earlier, later], description));
            }
        }
    }
    violations
}

/// Whether the caller may have dropped the call before the hold began: that is recorded after the drop, and not at once on a
/// busy machine.
fn has_just_been_dropped(limits: &Limits, call: &Call, hold: &Hold) -> bool {
    let dropped = call.returned.filter(|(_, outcome)| *outcome == Outcome::Abandoned);
    dropped.is_some_and(|(at, _)| at <= hold.begun.saturating_add(nanos(limits.moment)))
}

/// Whether the later one may not have the lock while the earlier one waits.
fn is_passed(history: &History, limits: &Limits, earlier: &Call, (later, hold): (&Call, &Hold)) -> bool {
    if !later.mode.holds_behind([earlier.mode]) {
        return true;
    }
    // Neighbours get it at one moment, in which either body may begin first. One with a lower limit waits for longer, and so
    // does one that waits for other locks.
    let at_once = earlier.mode == later.mode && earlier.others.is_empty();
    at_once && wait(history, earlier).to > hold.begun.saturating_add(nanos(limits.moment))
}

/// Who is in the lines of all locks.
pub(super) struct Queues<'a> {
    limits: Limits,
    /// By lock, from the request until the call is not in the way of the next of its client.
    calls: BTreeMap<&'a str, Timeline<&'a Call>>,
}

impl<'a> Queues<'a> {
    pub(super) fn of(history: &'a History, limits: &Limits) -> Self {
        let mut calls: BTreeMap<&str, Vec<(Span, &Call)>> = BTreeMap::new();
        for call in &history.calls {
            // It keeps the lock for as long as it holds at least.
            let until = if call.hold.is_some() { held_until(history, call) } else { history.ended_at(call) };
            calls.entry(&call.key).or_default().push((Span::new(call.invoked, until), call));
        }
        let calls = calls.into_iter().map(|(key, calls)| (key, calls.into_iter().collect())).collect();
        Self { limits: *limits, calls }
    }

    /// The time from which on no later request may overtake `call`.
    ///
    /// A client has one entry in the store's queue at a time: for other clients, a call is in the queue only when the earlier
    /// calls of its own client have ended, and what these hold at least.
    fn since(&self, call: &Call, other: &Call) -> Nanos {
        let queued = call.queued.unwrap_or(call.invoked + nanos(self.limits.moment));
        if is_one_client(call, other) {
            return queued;
        }
        let ended = call.keys().map(|key| self.own_ended(key, call, queued)).max().unwrap_or(0);
        ended.max(call.invoked) + nanos(self.limits.moment)
    }

    /// When the last of its own client's calls has ended that were before it in this line. Tasks that call at one moment may
    /// be in the queue in another order.
    fn own_ended(&self, key: &str, call: &Call, queued: Nanos) -> Nanos {
        let span = Span::new(call.invoked, queued.max(call.invoked + 1));
        let open = self.calls.get(key).into_iter().flat_map(|calls| calls.overlapping(span));
        let own = open.filter(|(span, other)| is_one_client(other, call) && span.from < queued);
        own.filter(|(_, other)| other.id != call.id).map(|(span, _)| span.to).max().unwrap_or(0)
    }

    /// Whether this waiter may be before `call` in the line, and one that `call` has to wait for. By `back` a fault was over that
    /// may have cost `call` its place.
    pub(super) fn may_be_ahead(&self, waiter: &Call, call: &Call, back: Nanos) -> bool {
        let keeps = match (waiter.mode, call.mode) {
            // A lower limit, or another lock, lets it wait where `call` need not; and it counts.
            (Mode::Permits(own), Mode::Permits(limit)) => own < limit || !waiter.others.is_empty(),
            _ => !call.mode.holds_behind([waiter.mode]),
        };
        let is_same = waiter.id == call.id && waiter.process == call.process;
        keeps && !is_same && waiter.invoked <= self.since(call, waiter).max(back)
    }
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
