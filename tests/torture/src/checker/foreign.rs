//! Nobody beside a client of another project, for as long as that client promises it.
//!
//! Those clients do not stop a body whose lock is lost, and most do not notice it. So what they hold counts as protected until
//! it may have lapsed: if they do not renew it, until the end of its TTL; if they do, until a fault that may keep them from
//! it has lasted for most of a TTL. Without such a fault there is no excuse.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{Call, Hold};
use super::excuses::{Excuse, excuse};
use super::history::History;
use super::spans::Span;
use super::{Limits, Rule, Violation};
use crate::clock::{Nanos, nanos};
use crate::foreign::Step;
use crate::history::Scope;

/// The turns of all clients of other projects.
#[derive(Debug, Default)]
pub struct Turns {
    turns: Vec<Turn>,
    index: BTreeMap<u64, usize>,
}

/// A lock that a client of another project requested once.
#[derive(Clone, Debug)]
struct Turn {
    /// Its process.
    process: String,
    /// Its number.
    id: u64,
    /// The lock.
    key: String,
    /// When it requested the lock.
    requested: Nanos,
    /// Nobody looks whether its entry is still there when its turn comes.
    unchecked: bool,
    /// When it said that it held the lock, and when that is over without a renewal, if it never renews.
    held: Option<(Nanos, Option<Nanos>)>,
    /// When its body was over.
    left: Option<Nanos>,
    /// When it had released the lock, or had failed.
    over: Option<Nanos>,
    /// Whether it failed.
    failed: bool,
}

impl Turns {
    pub(super) fn add(&mut self, at: Nanos, process: &str, id: u64, step: &Step) {
        if let Step::Requested { key, unchecked } = step {
            self.index.insert(id, self.turns.len());
            let (process, key, requested, unchecked) = (process.to_owned(), key.clone(), at, *unchecked);
            let (held, left, over, failed) = (None, None, None, false);
            self.turns.push(Turn { process, id, key, requested, unchecked, held, left, over, failed });
            return;
        }
        let Some(turn) = self.index.get(&id).map(|index| &mut self.turns[*index]) else { return };
        match step {
            Step::Requested { .. } => {}
            Step::Held { until } => turn.held = Some((at, *until)),
            Step::Left => turn.left = Some(at),
            Step::Over { error } => (turn.over, turn.failed) = (Some(at), error.is_some()),
        }
    }

    /// How many turns each client had, and how many of its requests or releases failed.
    pub fn counts(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for turn in &self.turns {
            let client = turn.process.split('.').next().unwrap_or_default();
            let (turns, failed) = counts.entry(client).or_default();
            *turns += usize::from(turn.held.is_some());
            *failed += usize::from(turn.failed);
        }
        counts
    }

    /// The processes that ever requested this lock.
    pub(super) fn processes<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.of(key).map(|turn| turn.process.as_str())
    }

    fn of<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Turn> {
        self.turns.iter().filter(move |turn| turn.key == key)
    }
}

/// A body that ran under a lock: of a worker, or of another client.
enum Body<'a> {
    Ours(&'a Call, &'a Hold),
    Foreign(&'a Turn, Nanos),
}

pub(super) fn check(history: &History, limits: &Limits, key: &str) -> Vec<Violation> {
    let overlaps = overlaps(history, key);
    let not_excused = overlaps.iter().filter(|(first, second)| excused(history, limits, first, second).is_none());
    not_excused.map(|(first, second)| violation(history, key, first, second)).collect()
}

/// How often two bodies ran at one time, by excuse.
pub(super) fn excuses(history: &History, limits: &Limits) -> BTreeMap<Excuse, usize> {
    let mut counts = BTreeMap::new();
    for key in history.keys() {
        let overlaps = overlaps(history, key);
        for excuse in overlaps.iter().filter_map(|(first, second)| excused(history, limits, first, second)) {
            *counts.entry(excuse).or_default() += 1;
        }
    }
    counts
}

/// When a lock was held for another client, or just was to be: it needs a moment to notice its turn. What a failed request
/// or release has left lapses after a TTL.
pub(super) fn occupied(history: &History, limits: &Limits, key: &str) -> Vec<Span> {
    let spans = history.foreign.of(key).filter_map(|turn| {
        let begun = turn.held.map(|(held, _)| held).or(turn.over.filter(|_| turn.failed))?;
        let lapse = if turn.failed { limits.ttl + limits.moment } else { Duration::ZERO };
        let end = turn.over.unwrap_or_else(|| ended(history, turn));
        Some(Span::new(begun.saturating_sub(nanos(limits.moment)), end).extended(lapse))
    });
    spans.collect()
}

/// Pairs of bodies that ran at one time, of which at least one is another client's.
fn overlaps<'a>(history: &'a History, key: &str) -> Vec<(Body<'a>, Body<'a>)> {
    let foreign = history.foreign.of(key).filter_map(|turn| Some((turn, turn.held?.0)));
    let foreign: Vec<(&Turn, Nanos)> = foreign.collect();
    let ours = history.holds(key);
    let mut overlaps = Vec::new();
    for (index, (turn, begun)) in foreign.iter().enumerate() {
        let span = Span::new(*begun, ended(history, turn));
        for (other, at) in
            foreign[index + 1..].iter().filter(|(other, at)| *at < span.to && span.from < ended(history, other))
        {
            overlaps.push((Body::Foreign(turn, *begun), Body::Foreign(other, *at)));
        }
        for (call, hold) in &ours {
            if hold.begun < span.to && span.from < history.ran_until(call, hold) {
                overlaps.push((Body::Foreign(turn, *begun), Body::Ours(call, hold)));
            }
        }
    }
    overlaps
}

fn excused(history: &History, limits: &Limits, first: &Body<'_>, second: &Body<'_>) -> Option<Excuse> {
    let moment = first.begun().max(second.begun());
    [(first, second), (second, first)].into_iter().find_map(|(body, other)| match body {
        // If the other one began before it may have lapsed, that is no excuse: it should not have got the lock.
        Body::Foreign(turn, begun) => {
            let has_lapsed = protected_until(history, limits, turn, *begun) <= other.begun();
            (has_lapsed || is_elsewhere(history, *begun)).then_some(Excuse::ForeignLapsed)
        }
        Body::Ours(call, hold) => {
            let other = Hold { begun: moment, ..(*hold).clone() };
            let excuse = excuse(history, limits, (call, hold), &other)?;
            // A body that had not begun before has nothing to go on with.
            (hold.begun < moment || excuse != Excuse::Unstoppable).then_some(excuse)
        }
    })
}

/// Until when another client's lock is certain to be its own.
fn protected_until(history: &History, limits: &Limits, turn: &Turn, begun: Nanos) -> Nanos {
    let never = Nanos::MAX;
    let expires = turn.held.and_then(|(_, until)| until).unwrap_or(never);
    let renews = expires == never;
    let end = ended(history, turn);
    // It renews thrice in a TTL; one renewal may just be due, and a busy machine makes it late.
    let certain = nanos(limits.ttl) * 2 / 3 - nanos(limits.grace);
    // A turn that begins later is on a lease that was renewed since, or is a new one; unless nobody has looked.
    let begun = if turn.unchecked { turn.requested } else { begun };
    let lapses = history.faults.iter().filter_map(|fault| {
        let from = match &fault.scope {
            Scope::Store | Scope::Impostor => renews.then_some(fault.span.from + certain)?,
            Scope::Lock(key) if *key == turn.key => renews.then_some(fault.span.from + certain)?,
            Scope::Worker(process) if *process == turn.process => renews.then_some(fault.span.from + certain)?,
            // What the store has given away, or forgotten, is gone at once.
            Scope::OldLeader | Scope::Forgotten(_) | Scope::FormerPrimary(_) => fault.span.from,
            _ => return None,
        };
        // What was in the store before lasts for another TTL after an outage, in which whoever has come back may take its old
        // entry, of a session that it has abandoned, for its own.
        let is_left_over = fault.scope == Scope::Store && renews && turn.requested < fault.span.to;
        let lasts = if is_left_over { limits.ttl } else { Duration::ZERO };
        let to = fault.carried_out().extended(lasts + limits.store_recovery).to;
        (from < end && begun < to).then_some(from)
    });
    let stalls = history.processes.values().filter(|process| process.pid == 0).flat_map(|process| &process.stalls);
    let lapses = lapses.chain(stalls.filter_map(|stall| {
        let from = stall.from + certain;
        let is_long = renews && from < stall.to;
        (is_long && from < end && begun < stall.extended(limits.store_recovery).to).then_some(from)
    }));
    lapses.min().unwrap_or(never).min(expires)
}

/// Whether another client's lock may be one of another cluster, which has answered at the address of a member.
fn is_elsewhere(history: &History, begun: Nanos) -> bool {
    let moment = Span::new(begun, begun + 1);
    history.faults.iter().any(|fault| fault.scope == Scope::Impostor && fault.span.overlaps(moment))
}

/// When another client's body was over: a killed one's with its process.
fn ended(history: &History, turn: &Turn) -> Nanos {
    let died = history.processes.get(&turn.process).and_then(|process| process.died);
    turn.left.unwrap_or(history.end).min(died.unwrap_or(history.end))
}

impl Body<'_> {
    fn begun(&self) -> Nanos {
        match self {
            Self::Ours(_, hold) => hold.begun,
            Self::Foreign(_, begun) => *begun,
        }
    }

    fn ended(&self, history: &History) -> Nanos {
        match self {
            Self::Ours(call, hold) => history.ran_until(call, hold),
            Self::Foreign(turn, _) => ended(history, turn),
        }
    }

    /// Its process, and the number of its call or turn.
    fn call(&self) -> (String, u64) {
        match self {
            Self::Ours(call, _) => (call.process.clone(), call.id),
            Self::Foreign(turn, _) => (turn.process.clone(), turn.id),
        }
    }
}

fn violation(history: &History, key: &str, first: &Body<'_>, second: &Body<'_>) -> Violation {
    let span = Span::new(first.begun().max(second.begun()), first.ended(history).min(second.ended(history)));
    let calls = vec![first.call(), second.call()];
    let description = format!("{} ran for {:?} while {} ran", calls[0].0, span.length(), calls[1].0);
    Violation { rule: Rule::Exclusion, key: key.to_owned(), description, span, calls }
}
