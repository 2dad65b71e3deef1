//! The rules that a history must keep.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Nanos;
use crate::history::{Event, EventKind};

mod busy;
mod call;
mod crowd;
mod exclusion;
mod excuses;
mod foreign;
mod history;
mod joined;
mod least;
mod linearizability;
mod liveness;
mod order;
mod orphans;
mod outcomes;
mod register;
mod spans;
mod termination;
mod together;
mod waits;
mod windows;

pub use call::{Call, Hold};
pub use excuses::Excuse;
pub use history::{CHILD, Fault, GENERATION, History, worker_of};
pub use spans::Span;

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The members of the store agree on what they have committed. No lock can be right on a store that breaks this.
    Store,
    /// Two bodies never run under one lock, unless they share it, and not more than have permits.
    Exclusion,
    /// Several locks at one moment: all or none.
    Together,
    /// Every exclusive hold has a greater fence than those before it, and every other one than the exclusive ones before it.
    Fences,
    /// The register's answers fit one order of the writes: it has refused every write that came too late.
    Register,
    /// The register accepts what the present holder writes.
    Holder,
    /// No entry stays in the store without an owner, for longer than the store needs to remove it.
    Orphans,
    /// No call waits while the lock is free.
    Progress,
    /// First in, first out.
    Order,
    /// Every call ends, and in time if it has a limit.
    Termination,
    /// A call reports an outage, or a want of rights, only when there is one, and never anything unexpected.
    Outcome,
}

/// The times that the rules depend on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The TTL of every lock.
    pub ttl: Duration,
    /// The client's `connect_timeout`.
    pub connect_timeout: Duration,
    /// How long a step of some milliseconds may take on a busy machine.
    pub moment: Duration,
    /// How late a body may notice that its process was resumed.
    pub grace: Duration,
    /// What a store needs after the end of a fault, beside a TTL.
    pub store_recovery: Duration,
    /// What a store needs to release what a worker had, beside a TTL.
    pub worker_recovery: Duration,
    /// For how long a waiter that is not known to be dead keeps the lock when its turn has come.
    pub claim: Duration,
}

impl Limits {
    /// For locks of this TTL.
    #[must_use]
    pub fn for_ttl(ttl: Duration) -> Self {
        Self {
            ttl,
            connect_timeout: Duration::from_secs(5),
            moment: Duration::from_millis(1_500),
            grace: Duration::from_millis(500),
            store_recovery: Duration::from_secs(3),
            worker_recovery: Duration::from_secs(2),
            claim: Duration::ZERO,
        }
    }

    /// The same, where nothing says of a waiter that it is dead: it gets the lock for three seconds when its turn has come. Three of
    /// them may stand one behind the other; and the shortest TTL is four seconds.
    #[must_use]
    pub fn with_dead_waiters(self) -> Self {
        let claim = Duration::from_secs(3);
        let passed_over = claim * 3;
        Self {
            ttl: self.ttl + Duration::from_secs(1),
            // The turn of a dead one may come long after the fault that it died of.
            moment: self.moment + Duration::from_secs(4),
            store_recovery: self.store_recovery + passed_over,
            worker_recovery: self.worker_recovery + passed_over,
            claim,
            ..self
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The lock.
    pub key: String,
    /// What happened.
    pub description: String,
    /// When.
    pub span: Span,
    /// The calls that are involved: process and number.
    pub calls: Vec<(String, u64)>,
}

/// All violations, in the order of time.
#[must_use]
pub fn check(events: &[Event], limits: &Limits) -> Vec<Violation> {
    let history = History::from_events(events);
    let mut violations = safety(&history, limits);
    violations.extend(orphans::check(&history, limits));
    violations.extend(liveness::check(&history, limits));
    violations.extend(termination::check(&history, limits));
    violations.extend(outcomes::check(&history, limits));
    sort(&mut violations);
    violations
}

/// As [`check`], for the rules that can be broken before a run has ended.
#[must_use]
pub fn check_safety(events: &[Event], limits: &Limits) -> Vec<Violation> {
    let history = History::from_events(events);
    let mut violations = safety(&history, limits);
    if history.promises().queue_order {
        violations.extend(order::check(&history, limits, &order::Queues::of(&history, limits)));
    }
    sort(&mut violations);
    violations
}

/// By time; but a store that broke its promise comes first, because it explains the rest.
fn sort(violations: &mut [Violation]) {
    violations.sort_by_key(|violation| (violation.rule != Rule::Store, violation.span.from));
}

/// How often two bodies of one lock ran at one time, by excuse.
#[must_use]
pub fn excuses(history: &History, limits: &Limits) -> BTreeMap<Excuse, usize> {
    let mut counts = exclusion::excuses(history, limits);
    for (excuse, count) in foreign::excuses(history, limits) {
        *counts.entry(excuse).or_default() += count;
    }
    for excuse in history.keys().into_iter().flat_map(|key| crowd::excuses(history, limits, key)) {
        *counts.entry(excuse).or_default() += 1;
    }
    counts
}

/// The share of the run, over all locks, in which no fault explains a wait: the time in which [`Rule::Progress`] and
/// [`Rule::Order`] apply.
#[must_use]
pub fn undisturbed(history: &History, limits: &Limits) -> f64 {
    let whole = Span::new(history.start, history.end);
    let undisturbed = |key: &&str| {
        let explained = windows::explained(history, limits, key, &windows::involved(history, key));
        spans::uncovered(whole, windows::within(&explained, whole)).iter().map(|span| span.length()).sum::<Duration>()
    };
    let keys = history.keys();
    let undisturbed: Duration = keys.iter().map(undisturbed).sum();
    undisturbed.as_secs_f64() / (whole.length().as_secs_f64() * f64::from(u32::try_from(keys.len()).unwrap_or(1)))
}

fn safety(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut violations: Vec<Violation> = differing_members(history).into_iter().collect();
    for key in history.keys() {
        violations.extend(exclusion::check(history, limits, key));
        violations.extend(crowd::check(history, limits, key));
        violations.extend(joined::check(history, key));
        violations.extend(least::check(history, limits, key));
        violations.extend(foreign::check(history, limits, key));
        violations.extend(register::check(history, key));
    }
    violations.extend(together::check(history, limits));
    violations
}

fn differing_members(history: &History) -> Option<Violation> {
    let (at, revision) = history.differed_at?;
    let description = format!(
        "the members of the store have different contents at revision {revision}: it has lost what it had committed, and \
         no lock on it can be right (etcd 3.5.0 to 3.5.2 do so when a member is killed: etcd-io/etcd#13766)"
    );
    Some(Violation::new(Rule::Store, "(all)", Span::new(at, at), &[], description))
}

impl Violation {
    fn new(rule: Rule, key: &str, span: Span, calls: &[&Call], description: String) -> Self {
        let calls = calls.iter().map(|call| (call.process.clone(), call.id)).collect();
        Self { rule, key: key.to_owned(), description, span, calls }
    }

    /// The events of the calls that are involved, in order; only the heartbeats around the violation.
    pub fn events<'a>(&'a self, events: &'a [Event]) -> impl Iterator<Item = &'a Event> {
        let near = |at: Nanos| at + 50_000_000 >= self.span.from && at <= self.span.to + 50_000_000;
        events.iter().filter(move |event| {
            let is_involved = event
                .kind
                .call()
                .is_some_and(|call| self.calls.iter().any(|(process, id)| *process == event.process && *id == call));
            is_involved && (near(event.at) || !matches!(event.kind, EventKind::Heartbeat { .. }))
        })
    }
}
