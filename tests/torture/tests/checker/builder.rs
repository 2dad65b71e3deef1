//! Histories made up for tests. All times are in milliseconds.

use distributed_locks::Mode;
use locks_torture::checker::{Limits, Rule, check};
use locks_torture::history::{Ending, Event, EventKind, Options, Outcome, Promises, Register, Scope, Wait};
use std::time::Duration;

pub(crate) const KEY: &str = "/k";
const TTL: Duration = Duration::from_secs(3);

/// Events in any order; [`violated`](Builder::violated) sorts them by time.
#[derive(Default)]
pub(crate) struct Builder(Vec<Event>);

/// The fence of the hold with this number in the sequence that was handed off under one grant of the store.
fn fence(grant: u64, sequence: u64) -> u64 {
    grant << 12 | sequence
}

/// The workers `a` and `b`, whose locks promise fences and order.
pub(crate) fn two_workers() -> Builder {
    let promises = Promises { fencing: true, queue_order: true };
    let started = |pid| EventKind::WorkerStarted { pid, promises };
    Builder::default().event(0, "a", started(1)).event(0, "b", started(2))
}

impl Builder {
    pub(crate) fn event(mut self, at: u64, process: &str, kind: EventKind) -> Self {
        self.0.push(Event { at: at * 1_000_000, process: process.into(), kind });
        self
    }

    /// A call that waits for as long as it takes, and is in the queue at once.
    pub(crate) fn invokes(self, at: u64, process: &str, call: u64) -> Self {
        self.invokes_with(at, process, call, Wait::Forever, true).queued(at, process, call)
    }

    pub(crate) fn invokes_with(self, at: u64, process: &str, call: u64, wait: Wait, stoppable: bool) -> Self {
        let key = KEY.into();
        let (others, limit_ms, options) = (Vec::new(), None, Options::default());
        self.event(at, process, EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options })
    }

    pub(crate) fn invokes_limited(self, at: u64, process: &str, call: u64, limit_ms: u64) -> Self {
        let (key, wait, limit_ms, options) = (KEY.into(), Wait::Forever, Some(limit_ms), Options::default());
        let (others, stoppable) = (Vec::new(), true);
        self.event(at, process, EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options })
    }

    /// A call with these options, which is in the queue at once.
    pub(crate) fn invokes_as(self, at: u64, process: &str, call: u64, options: Options, stoppable: bool) -> Self {
        let (key, others, wait, limit_ms) = (KEY.into(), Vec::new(), Wait::Forever, None);
        let invoked = EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options };
        self.event(at, process, invoked).queued(at, process, call)
    }

    /// As [`invokes`](Builder::invokes), in this mode.
    pub(crate) fn invokes_in(self, at: u64, process: &str, call: u64, mode: Mode) -> Self {
        self.invokes_as(at, process, call, Options { mode, ..Options::default() }, true)
    }

    /// A call for these locks at one moment, which is in their queues at once.
    pub(crate) fn invokes_several(self, at: u64, process: &str, call: u64, keys: &[&str]) -> Self {
        let (key, others) = (keys[0].into(), keys[1..].iter().map(|key| (*key).into()).collect());
        let (wait, stoppable, limit_ms, options) = (Wait::Forever, true, None, Options::default());
        let invoked = EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options };
        self.event(at, process, invoked).queued(at, process, call)
    }

    /// A whole body under several locks, with the grants of each.
    pub(crate) fn holds_several(self, from: u64, to: u64, process: &str, call: u64, grants: &[u64]) -> Self {
        let others = grants[1..].iter().map(|grant| if *grant == 0 { 0 } else { fence(*grant, 0) }).collect();
        let begun = self.event(from, process, EventKind::BodyStarted { call, fence: fence(grants[0], 0), others });
        begun.finishes(to, process, call, Ending::Done).returns(to + 2, process, call, Outcome::Ran)
    }

    pub(crate) fn queued(self, at: u64, process: &str, call: u64) -> Self {
        self.event(at, process, EventKind::Queued { call })
    }

    /// A body starts under a new grant of the store.
    pub(crate) fn starts(self, at: u64, process: &str, call: u64, grant: u64) -> Self {
        self.event(at, process, EventKind::BodyStarted { call, fence: fence(grant, 0), others: Vec::new() })
    }

    pub(crate) fn beats(self, at: u64, process: &str, call: u64, held: bool) -> Self {
        self.event(at, process, EventKind::Heartbeat { call, held })
    }

    pub(crate) fn finishes(self, at: u64, process: &str, call: u64, ending: Ending) -> Self {
        self.event(at, process, EventKind::BodyEnded { call, ending })
    }

    pub(crate) fn returns(self, at: u64, process: &str, call: u64, outcome: Outcome) -> Self {
        self.event(at, process, EventKind::Returned { call, outcome, error: String::new() })
    }

    /// A whole body under a new grant of the store.
    pub(crate) fn holds(self, from: u64, to: u64, process: &str, call: u64, grant: u64) -> Self {
        let begun = self.starts(from, process, call, grant).beats(u64::midpoint(from, to), process, call, true);
        begun.finishes(to, process, call, Ending::Done).returns(to + 2, process, call, Outcome::Ran)
    }

    /// A whole body under a lock that its process handed off to it: `sequence` is the grant, and the number under it.
    pub(crate) fn holds_handed_off(self, from: u64, to: u64, process: &str, call: u64, sequence: (u64, u64)) -> Self {
        let fence = fence(sequence.0, sequence.1);
        let begun = self.event(from, process, EventKind::BodyStarted { call, fence, others: Vec::new() });
        begun.finishes(to, process, call, Ending::Done).returns(to + 2, process, call, Outcome::Ran)
    }

    pub(crate) fn stalls(self, from: u64, to: u64, process: &str) -> Self {
        let (from, to_nanos) = (from * 1_000_000, to * 1_000_000);
        self.event(to, process, EventKind::Stalled { from, to: to_nanos, process: true })
    }

    pub(crate) fn fault(self, from: u64, to: u64, scope: Scope) -> Self {
        let (fault, name) = (from, "a fault".into());
        let begun = self.event(from, "nemesis", EventKind::FaultStarted { fault, name, scope });
        begun.event(to, "nemesis", EventKind::FaultEnded { fault })
    }

    pub(crate) fn dies(self, at: u64, process: &str) -> Self {
        self.event(at, "nemesis", EventKind::WorkerDied { process: process.into() })
    }

    /// An entry of the process `pid` was seen in the store.
    pub(crate) fn entry(self, from: u64, to: u64, pid: u32) -> Self {
        self.entry_of(from, to, pid, KEY, None)
    }

    /// The same of this lock, for a request that has several.
    pub(crate) fn entry_of(self, from: u64, to: u64, pid: u32, key: &str, request: Option<&str>) -> Self {
        let (entry, request) = (format!("{key}/{from}-{pid}"), request.map(Into::into));
        let appeared = EventKind::EntryAppeared { entry: entry.clone(), key: key.into(), pid, request };
        let disappeared = EventKind::EntryDisappeared { entry, last_seen: to * 1_000_000 };
        self.event(from, "observer", appeared).event(to + 200, "observer", disappeared)
    }

    /// The observer has no answer from the store in this time.
    pub(crate) fn silence(self, from: u64, to: u64) -> Self {
        self.event(to, "observer", EventKind::StoreSilent { requested: from * 1_000_000 })
    }

    pub(crate) fn members_differ(self, at: u64) -> Self {
        self.event(at, "observer", EventKind::MembersDiffer { revision: 7 })
    }

    /// The register accepts or refuses a write under `grant`, where the last accepted write was one under `previous`. Each
    /// writes the number of its grant.
    pub(crate) fn writes(self, requested: u64, done: u64, grant: u64, previous: u64, accepted: bool) -> Self {
        let previous = Register { fence: fence(previous, 0), value: previous };
        let (key, fence, value, requested) = (KEY.into(), fence(grant, 0), grant, requested * 1_000_000);
        self.event(done, "register", EventKind::Write { key, fence, value, requested, accepted, previous })
    }

    /// The rules that the history breaks, each once.
    pub(crate) fn violated(self) -> Vec<Rule> {
        self.violated_within(&Limits::for_ttl(TTL))
    }

    /// As [`violated`](Builder::violated), on a store that does not know of a waiter that it is dead.
    pub(crate) fn violated_with_dead_waiters(self) -> Vec<Rule> {
        self.violated_within(&Limits::for_ttl(TTL).with_dead_waiters())
    }

    fn violated_within(mut self, limits: &Limits) -> Vec<Rule> {
        let end = self.0.iter().map(|event| event.at).max().unwrap_or(0);
        self.0.push(Event { at: end + 1, process: "driver".into(), kind: EventKind::Drained });
        self.0.sort_by_key(|event| event.at);
        let violations = check(&self.0, limits);
        for violation in &violations {
            println!("{violation:?}");
        }
        let mut rules: Vec<Rule> = violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
