//! The events of a history, put together as calls, processes, faults, entries and writes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::Limits;
use super::call::{Call, Hold};
use super::foreign::Turns;
use super::spans::{Span, Timeline};
use super::waits::held_until;
use crate::clock::Nanos;
use crate::history::{Event, EventKind, Promises, Register, Scope};
use crate::matrix::{Deed, Matrix, Row};

/// What comes between the name of a worker and the number of a child that it has forked.
pub const CHILD: char = '+';

/// What comes between the name of a worker and the number of its process: one that has ended is replaced.
pub const GENERATION: char = '.';

/// The worker whose process this is, or a child that one has forked.
#[must_use]
pub fn worker_of(process: &str) -> &str {
    process.split_once([GENERATION, CHILD]).map_or(process, |(worker, _)| worker)
}

/// A history, for the rules.
#[derive(Debug, Default)]
pub struct History {
    /// The time of the first event.
    pub start: Nanos,
    /// The time of the last event.
    pub end: Nanos,
    /// The history is complete: whatever has not ended never will.
    pub drained: bool,
    /// All processes, by name.
    pub processes: BTreeMap<String, Process>,
    /// The calls, in the order in which they requested their locks: one of several locks once for each of them.
    pub calls: Vec<Call>,
    /// The faults that the nemesis injected, and those of the store itself.
    pub faults: Vec<Fault>,
    /// The entries that the observer saw in the store.
    pub entries: Vec<Entry>,
    /// The writes that the register carried out or refused.
    pub writes: Vec<Write>,
    /// What was left in the store at the end, where nothing should be.
    pub left_behind: Vec<String>,
    /// What clients of other projects did.
    pub foreign: Turns,
    /// When and at which revision the members of the store were first seen to have different contents.
    pub differed_at: Option<(Nanos, i64)>,
    /// The matrix of the run, if it has one.
    pub matrix: Option<Matrix>,
    /// The rows of the matrix that calls have met.
    pub met: Vec<Row>,
    /// By process and call, until when bodies that joined its hold have asked for all of its locks to stay taken.
    joined_until: BTreeMap<(String, u64), Nanos>,
    /// For each lock the other TTLs that calls have, for as long as what they hold may be in the store.
    own_ttls: BTreeMap<String, Timeline<(String, Duration)>>,
}

/// A process.
#[derive(Debug, Default)]
pub struct Process {
    /// Its process id; 0 unless it is a worker.
    pub pid: u32,
    /// When it began.
    pub started: Nanos,
    /// What its locks promise.
    pub promises: Promises,
    /// When it was found dead.
    pub died: Option<Nanos>,
    /// How it announced that it would end, if it did so.
    pub ends: Option<(Nanos, Deed)>,
    /// When and how it ended, if it was not the nemesis.
    pub ended: Option<(Nanos, String)>,
    /// When it, or its application's runtime, was not scheduled.
    pub stalls: Vec<Span>,
}

/// A fault that the nemesis injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its number.
    pub number: u64,
    /// Its description.
    pub name: String,
    /// Which processes it may affect.
    pub scope: Scope,
    /// When it was in effect.
    pub span: Span,
}

/// For how long etcd goes on to propose what a leader has asked for, a request's five seconds and two elections: a leader
/// that was paused may find that it is none any more, and its revocations are carried out by the next one.
const PROPOSED: Duration = Duration::from_secs(7);

impl Fault {
    /// When what it does may happen.
    pub(super) fn carried_out(&self) -> Span {
        self.span.extended(if self.scope == Scope::OldLeader { PROPOSED } else { Duration::ZERO })
    }

    /// Within what time those notice it whose locks somebody deleted in a directory of files; `None` if it was another store that
    /// forgot, where that takes until the deadline.
    pub(super) fn files_deleted(&self, limits: &Limits) -> Option<Duration> {
        match self.scope {
            Scope::Forgotten(millis) => Some(Duration::from_millis(millis)).filter(|within| *within < limits.ttl),
            _ => None,
        }
    }
}

/// An entry in the store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The lock.
    pub key: String,
    /// The process that owns it.
    pub pid: u32,
    /// The request that it belongs to, which may have entries for other locks.
    pub request: Option<String>,
    /// From the first to the last time that it was seen.
    pub seen: Span,
}

/// A write to the fenced register.
#[derive(Clone, Debug)]
pub struct Write {
    /// The register.
    pub key: String,
    /// From the request until it had been carried out or refused.
    pub span: Span,
    /// The fence that it came with.
    pub fence: u64,
    /// The value that it was to write.
    pub value: u64,
    /// Whether it was carried out.
    pub accepted: bool,
    /// The state of the register before it.
    pub previous: Register,
}

/// Where the calls and entries are that later events are about.
#[derive(Default)]
struct Index<'a> {
    calls: BTreeMap<(&'a str, u64), Range<usize>>,
    entries: BTreeMap<&'a str, usize>,
}

impl History {
    /// The history of these events, which are in the order of time.
    #[must_use]
    pub fn from_events(events: &[Event]) -> Self {
        let at = |event: Option<&Event>| event.map_or(0, |event| event.at);
        let mut history = Self { start: at(events.first()), end: at(events.last()), ..Self::default() };
        let mut index = Index::default();
        for event in events {
            history.add(event, &mut index);
        }
        history.adopt_modes(&index);
        history.joined_until = history.joined_until_by_outer();
        history.own_ttls = history.keys().into_iter().map(|key| (key.to_owned(), history.own_ttls_of(key))).collect();
        history
    }

    fn add<'a>(&mut self, event: &'a Event, index: &mut Index<'a>) {
        let (at, name) = (event.at, event.process.as_str());
        match &event.kind {
            EventKind::WorkerStarted { .. }
            | EventKind::WorkerDied { .. }
            | EventKind::WorkerEnded { .. }
            | EventKind::Ends { .. }
            | EventKind::Stalled { .. } => self.add_of_process(event),
            EventKind::Matrix { has_network, kinds, .. } => {
                self.matrix = Some(Matrix { has_network: *has_network, kinds: *kinds });
            }
            EventKind::Met { row, .. } => self.met.push(*row),
            EventKind::Invoked { call, .. } => {
                let first = self.calls.len();
                self.calls.extend(Call::invoked(event));
                index.calls.insert((name, *call), first..self.calls.len());
            }
            EventKind::Queued { call }
            | EventKind::BodyStarted { call, .. }
            | EventKind::Heartbeat { call, .. }
            | EventKind::BodyEnded { call, .. }
            | EventKind::Inherited { call, .. }
            | EventKind::Returned { call, .. } => {
                if let Some(parts) = index.calls.get(&(name, *call)) {
                    self.calls[parts.clone()].iter_mut().for_each(|part| part.add(event));
                }
            }
            EventKind::Write { key, fence, value, requested, accepted, previous } => {
                let (key, span) = (key.clone(), Span::new(*requested, at));
                let (fence, value, accepted, previous) = (*fence, *value, *accepted, *previous);
                self.writes.push(Write { key, span, fence, value, accepted, previous });
            }
            EventKind::FaultStarted { fault, name, scope } => {
                let (number, name, scope) = (*fault, name.clone(), scope.clone());
                self.faults.push(Fault { number, name, scope, span: Span::new(at, Nanos::MAX) });
            }
            // Nobody injected it, and it explains the same as if somebody had.
            EventKind::StoreSilent { requested } => {
                let (name, span) = ("store silent".to_owned(), Span::new(*requested, at));
                self.faults.push(Fault { number: 0, name, scope: Scope::Store, span });
            }
            EventKind::FaultEnded { fault } => {
                let ended = self.faults.iter_mut().rfind(|started| started.number == *fault);
                ended.into_iter().for_each(|fault| fault.span.to = at);
            }
            EventKind::EntryAppeared { entry, key, pid, request } => {
                index.entries.insert(entry, self.entries.len());
                let (key, request, seen) = (key.clone(), request.clone(), Span::new(at, self.end));
                self.entries.push(Entry { name: entry.clone(), key, pid: *pid, request, seen });
            }
            EventKind::EntryDisappeared { entry, last_seen } => {
                if let Some(index) = index.entries.remove(entry.as_str()) {
                    self.entries[index].seen.to = *last_seen;
                }
            }
            EventKind::LeftBehind { what } => self.left_behind.extend(what.iter().cloned()),
            EventKind::Foreign { turn, step } => self.foreign.add(at, name, *turn, step),
            EventKind::MembersDiffer { revision } => {
                self.differed_at.get_or_insert((at, *revision));
            }
            EventKind::Drained => self.drained = true,
            EventKind::Reached { .. } => {}
        }
    }

    /// Who joins a hold is beside others as that hold is.
    fn adopt_modes(&mut self, index: &Index<'_>) {
        for at in 0..self.calls.len() {
            let call = &self.calls[at];
            let outer = call.options.joins.and_then(|outer| index.calls.get(&(call.process.as_str(), outer)));
            if let Some(mode) = outer.map(|parts| self.calls[parts.start].mode) {
                self.calls[at].mode = mode;
            }
        }
    }

    /// What is known of a process.
    fn add_of_process(&mut self, event: &Event) {
        let (at, name) = (event.at, event.process.as_str());
        match &event.kind {
            EventKind::WorkerStarted { pid, promises } => {
                let process = self.process(name);
                (process.pid, process.started, process.promises) = (*pid, at, *promises);
            }
            EventKind::WorkerDied { process } => self.process(process).died = Some(at),
            EventKind::WorkerEnded { process, status } => {
                let ended = self.process(process);
                (ended.died, ended.ended) = (Some(at), Some((at, status.clone())));
            }
            EventKind::Ends { deed } => {
                self.process(name).ends = Some((at, *deed));
                self.ends(name, at, *deed);
            }
            EventKind::Stalled { from, to, .. } => self.process(name).stalls.push(Span::new(*from, *to)),
            _ => {}
        }
    }

    /// The end of a process is a fault of it: what it held stays for a while.
    fn ends(&mut self, process: &str, at: Nanos, deed: Deed) {
        let (name, scope) = (format!("ended by {deed:?}"), Scope::Worker(process.to_owned()));
        self.faults.push(Fault { number: 0, name, scope, span: Span::new(at, at) });
    }

    fn process(&mut self, name: &str) -> &mut Process {
        self.processes.entry(name.to_owned()).or_default()
    }

    /// The calls, each once.
    pub fn requests(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.part == 0)
    }

    /// The keys of all locks that were requested, and of all registers that were written.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let requested = self.calls.iter().map(|call| call.key.as_str());
        let mut keys: Vec<&str> = requested.chain(self.writes.iter().map(|write| write.key.as_str())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The calls for `key` whose bodies ran, in the order in which the bodies began.
    #[must_use]
    pub fn holds(&self, key: &str) -> Vec<(&Call, &Hold)> {
        let calls = self.calls.iter().filter(|call| call.key == key);
        let mut holds: Vec<_> = calls.filter_map(|call| call.hold.as_ref().map(|hold| (call, hold))).collect();
        holds.sort_by_key(|(_, hold)| hold.begun);
        holds
    }

    /// The last time at which the body is known to have run: in a killed process that of its last heartbeat.
    #[must_use]
    pub fn ran_until(&self, call: &Call, hold: &Hold) -> Nanos {
        // One that has not ended may have ended since, which is not in the history yet; at the end of the run it never does.
        let never_ends = hold.ended.is_none() && self.died(&call.process).is_none() && self.drained;
        if never_ends { self.end } else { hold.last_seen() }
    }

    /// The process that owns an entry: the last one with its number, which may have been another's before.
    #[must_use]
    pub fn owner(&self, entry: &Entry) -> Option<&str> {
        let same = self.processes.iter().filter(|(_, process)| process.pid == entry.pid);
        let known = same.filter(|(_, process)| process.started <= entry.seen.from);
        known.max_by_key(|(name, process)| (process.started, *name)).map(|(name, _)| name.as_str())
    }

    /// When the call returned or its process died; the end of the history if neither happened.
    #[must_use]
    pub fn ended_at(&self, call: &Call) -> Nanos {
        call.returned.map(|returned| returned.0).or_else(|| self.died(&call.process)).unwrap_or(self.end)
    }

    /// When the process was found dead, if it was. A child that a worker has forked is killed with it.
    #[must_use]
    pub fn died(&self, process: &str) -> Option<Nanos> {
        let died = |name: &str| self.processes.get(name).and_then(|process| process.died);
        died(process).or_else(|| died(process.split_once(CHILD)?.0))
    }

    /// The longest TTL of these processes' calls for this lock in this time: so long what they hold may stay.
    pub(super) fn longest_ttl(
        &self,
        key: &str,
        span: Span,
        ttl: Duration,
        is_meant: impl Fn(&str) -> bool,
    ) -> Duration {
        let own = self.own_ttls.get(key).into_iter().flat_map(|ttls| ttls.overlapping(span));
        own.filter(|(_, (process, _))| is_meant(process)).map(|(_, (_, own))| *own).fold(ttl, Duration::max)
    }

    fn own_ttls_of(&self, key: &str) -> Timeline<(String, Duration)> {
        let calls = self.calls.iter().filter(|call| call.key == key);
        let with_ttl = calls.filter_map(|call| {
            let until = held_until(self, call);
            let ttl = Duration::from_millis(call.options.ttl_ms?);
            Some((Span::new(call.invoked, until), (call.process.clone(), ttl)))
        });
        with_ttl.collect()
    }

    /// Until when the lock may be taken for the call's `hold_at_least`.
    pub(super) fn kept_until(&self, call: &Call) -> Option<Nanos> {
        let begun = match &call.hold {
            Some(hold) => hold.begun,
            // It may have been arranged right before the end of the process, or of a body that joined another's hold.
            None if call.options.joins.is_some() || call.returned.is_none() => self.ended_at(call),
            None => return None,
        };
        Some(begun + call.options.least_ms? * 1_000_000)
    }

    /// As [`kept_until`](History::kept_until), for the bodies that joined the call's hold: each extends all locks of it.
    pub(super) fn joined_until(&self, call: &Call) -> Option<Nanos> {
        self.joined_until.get(&(call.process.clone(), call.id)).copied()
    }

    fn joined_until_by_outer(&self) -> BTreeMap<(String, u64), Nanos> {
        let mut joined = BTreeMap::new();
        for (call, outer) in self.calls.iter().filter_map(|call| Some((call, call.options.joins?))) {
            let until = joined.entry((call.process.clone(), outer)).or_default();
            *until = self.kept_until(call).unwrap_or(0).max(*until);
        }
        joined
    }

    /// When this process was not scheduled.
    #[must_use]
    pub fn stalls(&self, process: &str) -> &[Span] {
        self.processes.get(process).map_or(&[], |process| &process.stalls)
    }

    /// What the locks of this run promise.
    #[must_use]
    pub fn promises(&self) -> Promises {
        let workers = self.processes.values().filter(|process| process.pid != 0);
        workers.map(|process| process.promises).next().unwrap_or_default()
    }
}
