//! A history told by calls, processes, faults and entries.

use std::collections::BTreeMap;

use super::spans::Span;
use crate::clock::Nanos;
use crate::history::{Ending, Event, Outcome, Promises, Register, Scope, Wait, What};

/// What a history tells.
#[derive(Debug, Default)]
pub struct Story {
    /// The first moment.
    pub start: Nanos,
    /// The last moment.
    pub end: Nanos,
    /// Nothing more is to come, so what has not ended never will.
    pub drained: bool,
    /// The worker processes, by name.
    pub processes: BTreeMap<String, Process>,
    /// The calls, in the order they asked.
    pub calls: Vec<Call>,
    /// What the nemesis did.
    pub faults: Vec<Fault>,
    /// What the observer saw in the store.
    pub entries: Vec<Entry>,
    /// What the register carried out or refused.
    pub writes: Vec<Write>,
    /// When and at which revision the members of the store were seen to have different contents.
    pub disagreed: Option<(Nanos, i64)>,
}

/// A process.
#[derive(Debug, Default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What its lock promises.
    pub promises: Promises,
    /// When it was found dead.
    pub died: Option<Nanos>,
    /// When it, or its application's runtime, got no turn.
    pub stalls: Vec<Span>,
}

/// A call of a locked function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The process.
    pub by: String,
    /// Its number in that process.
    pub id: u64,
    /// The lock.
    pub key: String,
    /// When it asked.
    pub asked: Nanos,
    /// For how long it would wait.
    pub wait: Wait,
    /// Whether its body can be stopped.
    pub stoppable: bool,
    /// For how many milliseconds it may run.
    pub most: Option<u64>,
    /// The hold, if there was one.
    pub hold: Option<Hold>,
    /// How it ended.
    pub returned: Option<(Nanos, Outcome)>,
}

/// A body that ran.
#[derive(Clone, Debug)]
pub struct Hold {
    /// When it began.
    pub begun: Nanos,
    /// Under which fence.
    pub fence: u64,
    /// When it ran, and what the lock said of itself then.
    pub beats: Vec<(Nanos, bool)>,
    /// When and how it ended.
    pub ended: Option<(Nanos, Ending)>,
}

/// What the nemesis did.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its number.
    pub number: u64,
    /// For people.
    pub name: String,
    /// Whom it may disturb.
    pub scope: Scope,
    /// When.
    pub span: Span,
}

/// An entry in the store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The lock.
    pub key: String,
    /// Whose it is.
    pub pid: u32,
    /// From the first to the last moment it was seen.
    pub seen: Span,
}

/// A write to the fenced register.
#[derive(Clone, Debug)]
pub struct Write {
    /// The register.
    pub key: String,
    /// From when it was asked for to when it had been carried out or refused.
    pub span: Span,
    /// The fence it came with.
    pub fence: u64,
    /// What it wrote.
    pub value: u64,
    /// Whether it did.
    pub accepted: bool,
    /// What was there before.
    pub was: Register,
}

impl Story {
    /// Tells the history of these events, which are in the order of time.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let at = |event: Option<&Event>| event.map_or(0, |event| event.at);
        let mut story = Self { start: at(events.first()), end: at(events.last()), ..Self::default() };
        let mut calls = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for event in events {
            story.take(event, &mut calls, &mut entries);
        }
        story
    }

    fn take<'a>(
        &mut self,
        event: &'a Event,
        calls: &mut BTreeMap<(&'a str, u64), usize>,
        entries: &mut BTreeMap<&'a str, usize>,
    ) {
        let (at, by) = (event.at, event.by.as_str());
        match &event.what {
            What::Up { pid, promises } => {
                let process = self.processes.entry(by.to_owned()).or_default();
                (process.pid, process.promises) = (*pid, *promises);
            }
            What::Died { process } => {
                self.processes.entry(process.clone()).or_default().died = Some(at);
            }
            What::Stalled { from, to, .. } => {
                self.processes.entry(by.to_owned()).or_default().stalls.push(Span::new(*from, *to));
            }
            What::Asked { call, key, wait, stoppable, most } => {
                calls.insert((by, *call), self.calls.len());
                let (by, key) = (by.to_owned(), key.clone());
                let (id, wait, stoppable, most) = (*call, *wait, *stoppable, *most);
                self.calls.push(Call { by, id, key, asked: at, wait, stoppable, most, hold: None, returned: None });
            }
            What::Begins { call, .. }
            | What::Beat { call, .. }
            | What::Ends { call, .. }
            | What::Returned { call, .. } => {
                if let Some(index) = calls.get(&(by, *call)) {
                    self.calls[*index].take(event);
                }
            }
            What::Write { key, fence, value, asked, accepted, was } => self.writes.push(Write {
                key: key.clone(),
                span: Span::new(*asked, at),
                fence: *fence,
                value: *value,
                accepted: *accepted,
                was: *was,
            }),
            What::FaultBegins { fault, name, scope } => {
                let (number, name, scope) = (*fault, name.clone(), scope.clone());
                self.faults.push(Fault { number, name, scope, span: Span::new(at, Nanos::MAX) });
            }
            What::FaultEnds { fault } => {
                let begun = self.faults.iter_mut().rfind(|begun| begun.number == *fault);
                begun.into_iter().for_each(|begun| begun.span.to = at);
            }
            What::Seen { entry, key, pid } => {
                entries.insert(entry, self.entries.len());
                let seen = Span::new(at, self.end);
                self.entries.push(Entry { name: entry.clone(), key: key.clone(), pid: *pid, seen });
            }
            What::Vanished { entry, last } => {
                if let Some(index) = entries.remove(entry.as_str()) {
                    self.entries[index].seen.to = *last;
                }
            }
            What::Disagree { revision } => {
                self.disagreed.get_or_insert((event.at, *revision));
            }
            What::Drained => self.drained = true,
        }
    }

    /// The locks that were asked for, and the registers that were written.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let asked = self.calls.iter().map(|call| call.key.as_str());
        let mut keys: Vec<&str> = asked.chain(self.writes.iter().map(|write| write.key.as_str())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The calls for `key` whose bodies ran, in the order these began.
    #[must_use]
    pub fn holds(&self, key: &str) -> Vec<(&Call, &Hold)> {
        let calls = self.calls.iter().filter(|call| call.key == key);
        let mut holds: Vec<_> = calls.filter_map(|call| call.hold.as_ref().map(|hold| (call, hold))).collect();
        holds.sort_by_key(|(_, hold)| hold.begun);
        holds
    }

    /// The last moment at which the body is known to have run: for a killed process that of its last beat.
    #[must_use]
    pub fn ran_until(&self, call: &Call, hold: &Hold) -> Nanos {
        let last_sign = hold.beats.last().map_or(hold.begun, |beat| beat.0);
        match (hold.ended, self.died(&call.by)) {
            (Some((at, _)), _) => at,
            (None, Some(_)) => last_sign,
            // It will have ended by itself, or it hangs; so far nobody knows more.
            (None, None) if self.drained => self.end,
            (None, None) => last_sign,
        }
    }

    /// When the call was over, for whoever waits behind it; the end of the history if it is not.
    #[must_use]
    pub fn over_at(&self, call: &Call) -> Nanos {
        call.returned.map(|returned| returned.0).or_else(|| self.died(&call.by)).unwrap_or(self.end)
    }

    /// When the process was found dead, if it was.
    #[must_use]
    pub fn died(&self, process: &str) -> Option<Nanos> {
        self.processes.get(process).and_then(|process| process.died)
    }

    /// When this process got no turn.
    #[must_use]
    pub fn stalls(&self, process: &str) -> &[Span] {
        self.processes.get(process).map_or(&[], |process| &process.stalls)
    }

    /// What all the locks of this run promise.
    #[must_use]
    pub fn promises(&self) -> Promises {
        let workers = self.processes.values().filter(|process| process.pid != 0);
        workers.map(|process| process.promises).next().unwrap_or_default()
    }
}

impl Call {
    fn take(&mut self, event: &Event) {
        match (&event.what, &mut self.hold) {
            (What::Begins { fence, .. }, hold) => {
                *hold = Some(Hold { begun: event.at, fence: *fence, beats: Vec::new(), ended: None });
            }
            (What::Beat { held, .. }, Some(hold)) => hold.beats.push((event.at, *held)),
            (What::Ends { how, .. }, Some(hold)) => hold.ended = Some((event.at, *how)),
            (What::Returned { outcome, .. }, _) => self.returned = Some((event.at, *outcome)),
            _ => {}
        }
    }
}
