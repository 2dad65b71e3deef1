//! The rules that a history must keep.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Nanos;
use crate::history::Event;

mod endless;
mod entries;
mod excuses;
mod linear;
mod overlap;
mod register;
mod spans;
mod story;
mod waiting;
mod windows;

pub use excuses::Excuse;
pub use spans::Span;
pub use story::{Call, Fault, Hold, Story};

/// What must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The members of the store agree on what they were told. No lock can be right on a store whose members do not.
    Store,
    /// Two bodies never run under one lock.
    Exclusion,
    /// Every hold has a higher fence than those before it.
    Fences,
    /// The register is what its specification says, at every moment: it has refused whatever came late.
    Register,
    /// The register accepts what the present holder writes.
    Holder,
    /// Nothing is in the store whose owner is gone, for longer than the store allows.
    Leftovers,
    /// Nobody waits while the lock is free.
    Free,
    /// First in, first out.
    Order,
    /// Every wait ends, and in time if there is a limit.
    Endless,
}

/// What a run's rules depend on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The TTL of every lock.
    pub ttl: Duration,
    /// The client's `connect_timeout`.
    pub connect_timeout: Duration,
    /// How long anything may take that takes milliseconds, on a machine that has more to do.
    pub moment: Duration,
    /// How late a body may learn that its process goes on.
    pub grace: Duration,
    /// What a store needs after the end of a fault, beside a TTL.
    pub store_recovery: Duration,
    /// What a store needs to take back what a worker had, beside a TTL.
    pub worker_recovery: Duration,
}

impl Limits {
    /// For locks of this TTL.
    #[must_use]
    pub fn of(ttl: Duration) -> Self {
        Self {
            ttl,
            connect_timeout: Duration::from_secs(5),
            moment: Duration::from_millis(1_500),
            grace: Duration::from_millis(500),
            store_recovery: Duration::from_secs(3),
            worker_recovery: Duration::from_secs(2),
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The lock.
    pub key: String,
    /// How.
    pub what: String,
    /// When.
    pub span: Span,
    /// The calls it is about: process and number.
    pub calls: Vec<(String, u64)>,
}

/// Everything that breaks a rule, in the order of time.
#[must_use]
pub fn check(events: &[Event], limits: &Limits) -> Vec<Violation> {
    let story = Story::of(events);
    let mut violations = safety(&story, limits);
    violations.extend(entries::check(&story, limits));
    violations.extend(waiting::check(&story, limits));
    violations.extend(endless::check(&story, limits));
    in_order(&mut violations);
    violations
}

/// As [`check`], of the rules that can be broken before a run is over.
#[must_use]
pub fn check_so_far(events: &[Event], limits: &Limits) -> Vec<Violation> {
    let mut violations = safety(&Story::of(events), limits);
    in_order(&mut violations);
    violations
}

/// What is wrong with the store comes first: it explains the rest.
fn in_order(violations: &mut [Violation]) {
    violations.sort_by_key(|violation| (violation.rule != Rule::Store, violation.span.from));
}

/// How often two bodies of one lock ran at one time, by what excuses it.
#[must_use]
pub fn excuses(story: &Story, limits: &Limits) -> BTreeMap<Excuse, usize> {
    overlap::excuses(story, limits)
}

/// The part of the run, over all locks, in which no fault explains that somebody waits: in which [`Rule::Free`] and
/// [`Rule::Order`] judge.
#[must_use]
pub fn calm(story: &Story, limits: &Limits) -> f64 {
    let whole = Span::new(story.start, story.end);
    let calm = |key: &&str| {
        let explained = windows::explained(story, limits, &windows::involved(story, key));
        spans::uncovered(whole, windows::within(&explained, whole)).iter().map(|span| span.length()).sum::<Duration>()
    };
    let keys = story.keys();
    let calm: Duration = keys.iter().map(calm).sum();
    calm.as_secs_f64() / (whole.length().as_secs_f64() * f64::from(u32::try_from(keys.len()).unwrap_or(1)))
}

fn safety(story: &Story, limits: &Limits) -> Vec<Violation> {
    let mut violations: Vec<Violation> = disagreement(story).into_iter().collect();
    for key in story.keys() {
        violations.extend(overlap::check(story, limits, key));
        violations.extend(register::check(story, key));
    }
    violations
}

fn disagreement(story: &Story) -> Option<Violation> {
    let (at, revision) = story.disagreed?;
    let what = format!(
        "the members of the store have different contents at revision {revision}: it has lost what it had committed, and \
         no lock on it can be right (etcd 3.5.0 to 3.5.2 do so when a member is killed: etcd-io/etcd#13766)"
    );
    Some(Violation::new(Rule::Store, "(all)", Span::new(at, at), &[], what))
}

impl Violation {
    fn new(rule: Rule, key: &str, span: Span, calls: &[&Call], what: String) -> Self {
        let calls = calls.iter().map(|call| (call.by.clone(), call.id)).collect();
        Self { rule, key: key.to_owned(), what, span, calls }
    }

    /// The events it is about, in order. Of the beats only those that tell something.
    pub fn events<'a>(&'a self, events: &'a [Event]) -> impl Iterator<Item = &'a Event> {
        let near = |at: Nanos| at + 50_000_000 >= self.span.from && at <= self.span.to + 50_000_000;
        events.iter().filter(move |event| {
            let of_these = |call: &u64| self.calls.iter().any(|(by, id)| *by == event.by && id == call);
            match &event.what {
                crate::history::What::Beat { call, .. } => near(event.at) && of_these(call),
                what => what.call().is_some_and(|call| of_these(&call)),
            }
        })
    }
}
