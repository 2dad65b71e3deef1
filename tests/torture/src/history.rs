//! The history of a run: one JSON line for each event, written by every process that takes part and read by the checker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use distributed_locks::Mode;
use serde::{Deserialize, Serialize};

use crate::clock::{self, Nanos};
use crate::foreign::Step;
use crate::lock::Kinds;
use crate::matrix::{Deed, Phase, Row};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, on the clock that all processes share.
    pub at: Nanos,
    /// The process that wrote it, such as `w1.2`: the second process of worker 1. Or `nemesis`, `register`, `observer`.
    pub process: String,
    /// What happened.
    pub kind: EventKind,
}

/// What the store behind a lock promises, as far as a rule depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// Every hold has a greater fence than those before it.
    pub fencing: bool,
    /// Waiters of all processes get the lock in the order in which they entered the queue.
    pub queue_order: bool,
}

/// How long a call waits for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// It tries once.
    Never,
    /// So many milliseconds.
    Millis(u64),
    /// As long as it takes.
    Forever,
}

impl Wait {
    /// How long that is at the most.
    #[must_use]
    pub fn limit(self) -> Duration {
        match self {
            Self::Never => Duration::ZERO,
            Self::Millis(limit) => Duration::from_millis(limit),
            Self::Forever => Duration::MAX,
        }
    }
}

/// The options of a call beside those of every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// For how many milliseconds the lock stays taken, even if the body ends sooner.
    pub least_ms: Option<u64>,
    /// The TTL, if it is not that of the run.
    pub ttl_ms: Option<u64>,
    /// Which of the process's clients it comes from: each has an entry of its own in the store's queue.
    pub client: u64,
    /// The call inside whose body it is made, under the same key: it is to join that one's hold.
    pub joins: Option<u64>,
    /// Who else may hold the lock at the same time.
    #[serde(default, with = "written")]
    pub mode: Mode,
    /// It campaigns, and the hold is a term as leader.
    #[serde(default)]
    pub leads: bool,
}

/// A mode in the history.
mod written {
    use super::{Deserialize, Mode, Serialize};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    enum Written {
        Exclusive,
        Shared,
        Permits(u32),
    }

    pub(super) fn serialize<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match mode {
            Mode::Shared => Written::Shared,
            Mode::Permits(limit) => Written::Permits(*limit),
            _ => Written::Exclusive,
        };
        written.serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Mode, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Exclusive => Mode::Exclusive,
            Written::Shared => Mode::Shared,
            Written::Permits(limit) => Mode::Permits(limit),
        })
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It ran to its end.
    Done,
    /// It panicked, as planned.
    Panicked,
    /// It was dropped before its end.
    Dropped,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The body ran to its end.
    Ran,
    /// The body panicked.
    Panicked,
    /// The lock was held.
    Busy,
    /// The time to wait passed.
    Timeout,
    /// The body was stopped because the lock was lost.
    Lost,
    /// The body was stopped because `hold_at_most` passed.
    Limited,
    /// The store did not answer.
    Unavailable,
    /// The caller dropped the call before its end.
    Abandoned,
    /// The client was closed.
    Closed,
    /// The store refused it for want of a right.
    Refused,
    /// Anything else, which is a bug.
    Failed,
}

/// The kinds of events. Calls are numbered by the process that makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are described with their event")]
pub enum EventKind {
    /// A worker process has started.
    WorkerStarted { pid: u32, promises: Promises },
    /// A call requests the lock. Its body is not `stoppable` if it blocks, or goes on after a loss; it is to be stopped
    /// after `limit_ms` milliseconds if there is such a limit. Of several locks at one moment the `others` are those after
    /// the first, in the order in which they were asked for.
    Invoked {
        call: u64,
        key: String,
        #[serde(default)]
        others: Vec<String>,
        wait: Wait,
        stoppable: bool,
        limit_ms: Option<u64>,
        #[serde(default)]
        options: Options,
    },
    /// The call has been polled since its request: it is in its process's queue for the lock. Not recorded of calls that
    /// block, or that returned at once.
    Queued { call: u64 },
    /// The body starts, under a lock with this fence; under several locks the `others` are the fences of those after the
    /// first, 0 for one that the body does not have.
    BodyStarted {
        call: u64,
        fence: u64,
        #[serde(default)]
        others: Vec<u64>,
    },
    /// The body is running; `held` is what the lock reported of itself right after the time of this event.
    Heartbeat { call: u64, held: bool },
    /// The body no longer runs.
    BodyEnded { call: u64, ending: Ending },
    /// The call has returned.
    Returned { call: u64, outcome: Outcome, error: String },
    /// The process, or only its application's runtime, was not scheduled in this time.
    Stalled { from: Nanos, to: Nanos, process: bool },
    /// A body requested a write to the fenced register at `requested`; it was carried out or refused by the time of this
    /// event.
    Write { key: String, fence: u64, value: u64, requested: Nanos, accepted: bool, previous: Register },
    /// The call is at this phase of the matrix, and this is about to happen.
    Reached { call: u64, phase: Phase, deed: Deed },
    /// The workers meet this matrix.
    Matrix {
        has_network: bool,
        #[serde(default)]
        kinds: Kinds,
        /// A dead waiter costs time when its turn has come, one after the other.
        #[serde(default)]
        has_dead_waiters: bool,
    },
    /// Everything that this row of the matrix asks of the call has happened, or is about to.
    Met { call: u64, row: Row },
    /// The process is about to end like this.
    Ends { deed: Deed },
    /// A child that this process has forked asks the lock that its parent holds whether it is `held`.
    Inherited { call: u64, held: bool },
    /// A worker process has ended, and it was not the nemesis.
    WorkerEnded { process: String, status: String },
    /// The nemesis injects a fault, or a worker does so to itself.
    FaultStarted { fault: u64, name: String, scope: Scope },
    /// The fault is over.
    FaultEnded { fault: u64 },
    /// A worker process is dead; it died before this event.
    WorkerDied { process: String },
    /// The observer saw an entry in the store for the first time. Entries of one `request` for several locks have its name,
    /// where the store shows it.
    EntryAppeared {
        entry: String,
        key: String,
        pid: u32,
        #[serde(default)]
        request: Option<String>,
    },
    /// The observer saw the entry at `last_seen` for the last time.
    EntryDisappeared { entry: String, last_seen: Nanos },
    /// The observer, whose connections no fault affects, had no answer from the store between `requested` and now: the members
    /// are electing a leader, or the machine is too busy for them.
    StoreSilent { requested: Nanos },
    /// When all calls had returned, this was still in the store, where nothing should be.
    LeftBehind { what: Vec<String> },
    /// The members of the store have different contents at the same revision.
    MembersDiffer { revision: i64 },
    /// A step of a client of another project. Turns are numbered in a run.
    Foreign { turn: u64, step: Step },
    /// Every event before this one is in the history, and no more calls are made.
    Drained,
}

impl EventKind {
    /// The call that the event belongs to, if it belongs to one.
    #[must_use]
    pub fn call(&self) -> Option<u64> {
        match self {
            Self::Invoked { call, .. }
            | Self::Queued { call }
            | Self::BodyStarted { call, .. }
            | Self::Heartbeat { call, .. }
            | Self::BodyEnded { call, .. }
            | Self::Returned { call, .. }
            | Self::Reached { call, .. }
            | Self::Met { call, .. }
            | Self::Inherited { call, .. }
            | Self::Foreign { turn: call, .. } => Some(*call),
            _ => None,
        }
    }
}

/// The state of the fenced register for one key: the highest fence that has written, and the value that it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    /// The fence; 0 before the first write.
    pub fence: u64,
    /// The value.
    pub value: u64,
}

/// Which processes a fault may affect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All of them.
    Store,
    /// All of them; and at the address of a member another cluster answers, for a client that does not look which one it is.
    Impostor,
    /// One process, and those that wait for what it holds.
    Worker(String),
    /// The network of this worker, whichever process it runs, and those that wait for what it holds.
    Route(String),
    /// This process: its leases are revoked in the store.
    Revocation(String),
    /// All of them: a leader may resume with an outdated view, and revoke leases that have been renewed since
    /// (etcd-io/etcd#15247).
    OldLeader,
    /// All of them: the store lost what it had granted, as its documentation says, or somebody deleted it. Whoever held a
    /// lock notices it within this many milliseconds.
    Forgotten(u64),
    /// As [`Forgotten`](Self::Forgotten); and who has not heard yet that another server is the primary is granted locks by the
    /// former one.
    FormerPrimary(u64),
    /// All that use this lock, and no others.
    Lock(String),
    /// None of those that wait: it only costs time.
    Load,
    /// All of them that are to get a lock: nothing can be put into the store, but entries are renewed and removed.
    Full,
}

/// Where a process writes its events. Each event is one `write` to the file, so that all events before a kill are in it.
#[derive(Debug)]
pub struct Recorder {
    process: String,
    file: Mutex<File>,
}

impl Recorder {
    /// Appends to the file at `path`, in the name of `process`.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path, process: impl Into<String>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { process: process.into(), file: Mutex::new(file) })
    }

    /// Records an event that happens now, and returns its time.
    pub fn record(&self, kind: EventKind) -> Nanos {
        self.record_at(clock::now(), kind)
    }

    /// Records an event that happened at `at`.
    ///
    /// # Panics
    ///
    /// If the disk is full: a history with gaps proves nothing.
    #[expect(clippy::expect_used, reason = "a history with gaps proves nothing")]
    pub fn record_at(&self, at: Nanos, kind: EventKind) -> Nanos {
        let event = Event { at, process: self.process.clone(), kind };
        let mut line = serde_json::to_vec(&event).expect("an event is JSON");
        line.push(b'\n');
        // A panic of another thread leaves whole lines.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).expect("the history can be written");
        at
    }
}

/// All events in the files of `directory`, in the order of time.
///
/// # Errors
///
/// If a file cannot be read, or a line other than the last of a file is not an event: a killed process may leave an
/// incomplete line, but nothing after it.
pub fn read(directory: &Path) -> io::Result<Vec<Event>> {
    let mut events = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()));
            events.extend(parse(&std::fs::read_to_string(&path)?).map_err(invalid)?);
        }
    }
    // The sort is stable: events of one process at one time stay in the order in which they were written.
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn parse(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut lines = text.split('\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            // What follows the last line end is empty, or a line that is incomplete.
            Err(_) if lines.peek().is_none() => {}
            Err(error) => return Err(format!("line {}: {error}", number + 1)),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_last_line_is_left_out_and_one_in_the_middle_is_an_error() {
        let event = Event { at: 7, process: "w0.1".into(), kind: EventKind::Heartbeat { call: 3, held: true } };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(parse(&format!("{line}\n{}", &line[..20])).unwrap(), std::slice::from_ref(&event));
        assert_eq!(parse(&format!("{line}\n")).unwrap(), [event]);
        assert!(parse(&format!("{line}\n{}\n{line}\n", &line[..20])).unwrap_err().starts_with("line 2:"));
    }

    #[test]
    fn a_mode_is_read_as_it_was_written_and_a_history_without_one_is_of_exclusive_holds() {
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(3)] {
            let options = Options { mode, ..Options::default() };
            let written = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<Options>(&written).unwrap(), options, "{written}");
        }
        let before = r#"{"least_ms":null,"ttl_ms":null,"client":0,"joins":null}"#;
        assert_eq!(serde_json::from_str::<Options>(before).unwrap(), Options::default());
    }
}
