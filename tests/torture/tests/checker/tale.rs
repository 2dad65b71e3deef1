//! A made-up history, told in milliseconds.

use locks_torture::checker::{Limits, Rule, check};
use locks_torture::history::{Ending, Event, Outcome, Promises, Register, Scope, Wait, What};
use std::time::Duration;

pub(crate) const KEY: &str = "/k";
const TTL: Duration = Duration::from_secs(3);

/// Events in the order they are told; [`broken`](Tale::broken) puts them into the order of time.
#[derive(Default)]
pub(crate) struct Tale(Vec<Event>);

/// The store's number, and how often the lock was passed on under it.
fn fence(number: u64, sequence: u64) -> u64 {
    number << 12 | sequence
}

/// Two workers with a lock that promises everything.
pub(crate) fn tale() -> Tale {
    let promises = Promises { fencing: true, queue_order: true };
    let up = |pid| What::Up { pid, promises };
    Tale::default().event(0, "a", up(1)).event(0, "b", up(2))
}

impl Tale {
    pub(crate) fn event(mut self, at: u64, by: &str, what: What) -> Self {
        self.0.push(Event { at: at * 1_000_000, by: by.into(), what });
        self
    }

    pub(crate) fn asks(self, at: u64, by: &str, call: u64) -> Self {
        self.asks_as(at, by, call, Wait::Forever, true)
    }

    pub(crate) fn asks_as(self, at: u64, by: &str, call: u64, wait: Wait, stoppable: bool) -> Self {
        self.event(at, by, What::Asked { call, key: KEY.into(), wait, stoppable, most: None })
    }

    pub(crate) fn asks_for(self, at: u64, by: &str, call: u64, most: u64) -> Self {
        let (wait, most) = (Wait::Forever, Some(most));
        self.event(at, by, What::Asked { call, key: KEY.into(), wait, stoppable: true, most })
    }

    /// Under the fence of a grant of its own.
    pub(crate) fn begins(self, at: u64, by: &str, call: u64, number: u64) -> Self {
        self.event(at, by, What::Begins { call, fence: fence(number, 0) })
    }

    /// A body under a lock that its process passed on to it.
    pub(crate) fn takes_over(self, from: u64, to: u64, by: &str, call: u64, passed: (u64, u64)) -> Self {
        let begun = self.event(from, by, What::Begins { call, fence: fence(passed.0, passed.1) });
        begun.ends(to, by, call, Ending::Done).returns(to + 2, by, call, Outcome::Ran)
    }

    pub(crate) fn beats(self, at: u64, by: &str, call: u64, held: bool) -> Self {
        self.event(at, by, What::Beat { call, held })
    }

    pub(crate) fn ends(self, at: u64, by: &str, call: u64, how: Ending) -> Self {
        self.event(at, by, What::Ends { call, how })
    }

    pub(crate) fn returns(self, at: u64, by: &str, call: u64, outcome: Outcome) -> Self {
        self.event(at, by, What::Returned { call, outcome, error: String::new() })
    }

    /// A body from one moment to another.
    pub(crate) fn holds(self, from: u64, to: u64, by: &str, call: u64, fence: u64) -> Self {
        let begun = self.begins(from, by, call, fence).beats((from + to) / 2, by, call, true);
        begun.ends(to, by, call, Ending::Done).returns(to + 2, by, call, Outcome::Ran)
    }

    pub(crate) fn stalls(self, from: u64, to: u64, by: &str) -> Self {
        let (from, to_nanos) = (from * 1_000_000, to * 1_000_000);
        self.event(to, by, What::Stalled { from, to: to_nanos, process: true })
    }

    pub(crate) fn fault(self, from: u64, to: u64, scope: Scope) -> Self {
        let fault = from;
        let begun = self.event(from, "nemesis", What::FaultBegins { fault, name: "a fault".into(), scope });
        begun.event(to, "nemesis", What::FaultEnds { fault })
    }

    pub(crate) fn dies(self, at: u64, by: &str) -> Self {
        self.event(at, "nemesis", What::Died { process: by.into() })
    }

    pub(crate) fn entry(self, from: u64, to: u64, pid: u32) -> Self {
        let entry = format!("{KEY}/{from}-{pid}");
        let seen = self.event(from, "observer", What::Seen { entry: entry.clone(), key: KEY.into(), pid });
        seen.event(to + 200, "observer", What::Vanished { entry, last: to * 1_000_000 })
    }

    pub(crate) fn disagree(self, at: u64) -> Self {
        self.event(at, "observer", What::Disagree { revision: 7 })
    }

    /// A write that the register carried out, or refused, over what the write of the same value under `was` had left.
    pub(crate) fn writes(self, asked: u64, done: u64, number: u64, was: u64, accepted: bool) -> Self {
        let was = Register { fence: fence(was, 0), value: was };
        let (key, value, asked) = (KEY.into(), number, asked * 1_000_000);
        self.event(done, "register", What::Write { key, fence: fence(number, 0), value, asked, accepted, was })
    }

    /// The rules that it breaks, each once.
    pub(crate) fn broken(mut self) -> Vec<Rule> {
        let end = self.0.iter().map(|event| event.at).max().unwrap_or(0);
        self.0.push(Event { at: end + 1, by: "driver".into(), what: What::Drained });
        self.0.sort_by_key(|event| event.at);
        let violations = check(&self.0, &Limits::of(TTL));
        for violation in &violations {
            println!("{violation:?}");
        }
        let mut rules: Vec<Rule> = violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
