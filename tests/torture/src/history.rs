//! What happened: one JSON line for each event, written by everybody who takes part, read by the checker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::clock::{self, Nanos};

/// Something that happened, when, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, on the clock that all share.
    pub at: Nanos,
    /// The process, such as `w1.2`: the second process in the place of worker 1. Or `nemesis`, `register`, `observer`.
    pub by: String,
    /// What.
    pub what: What,
}

/// What a store behind a lock promises, as far as a rule depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// Fences grow with every hold.
    pub fencing: bool,
    /// Waiters of all processes are served in the order they came.
    pub queue_order: bool,
}

/// How a call asks for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Try once.
    Never,
    /// So many milliseconds.
    Millis(u64),
    /// As long as it takes.
    Forever,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By itself.
    Done,
    /// It panicked, as it was told.
    Panicked,
    /// It was dropped where it stood.
    Dropped,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The body ran to its end.
    Ran,
    /// The body panicked.
    Panicked,
    /// Another had the lock.
    Busy,
    /// The time to wait passed.
    Timeout,
    /// The body was stopped because the lock was lost.
    Lost,
    /// The body was stopped because it ran for too long.
    Limited,
    /// The store did not answer.
    Unavailable,
    /// The caller dropped it half way.
    Abandoned,
    /// Anything else: a mistake of somebody.
    Failed,
}

/// What may happen. Calls are numbered by the process that makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what their names do not say is said of the whole event")]
pub enum What {
    /// A worker process has begun.
    Up { pid: u32, promises: Promises },
    /// A call asks for the lock. A body that is not `stoppable` blocks, or was told to go on after a loss; one with `most`
    /// is to be stopped after so many milliseconds.
    Asked { call: u64, key: String, wait: Wait, stoppable: bool, most: Option<u64> },
    /// The body runs, under a lock with this fence.
    Begins { call: u64, fence: u64 },
    /// The body runs; `held` is what the lock says of itself, asked after the moment of this event.
    Beat { call: u64, held: bool },
    /// The body runs no more.
    Ends { call: u64, how: Ending },
    /// The call is over.
    Returned { call: u64, outcome: Outcome, error: String },
    /// The process, or only its application's runtime, did not get a turn in this time.
    Stalled { from: Nanos, to: Nanos, process: bool },
    /// A write to the fenced register was asked for by a body at `asked`, and carried out or refused by the time of this
    /// event.
    Write { key: String, fence: u64, value: u64, asked: Nanos, accepted: bool, was: Register },
    /// The nemesis begins to do something.
    FaultBegins { fault: u64, name: String, scope: Scope },
    /// It is over.
    FaultEnds { fault: u64 },
    /// A worker process is dead; this is after the moment it died.
    Died { process: String },
    /// The observer saw that an entry is in the store, for the first time.
    Seen { entry: String, key: String, pid: u32 },
    /// The observer saw it at `last` for the last time.
    Vanished { entry: String, last: Nanos },
    /// The members of the store do not have the same contents at the same revision.
    Disagree { revision: i64 },
    /// Every event before this one is known, and nothing more is asked for.
    Drained,
}

impl What {
    /// The call it is about, if it is about one.
    #[must_use]
    pub fn call(&self) -> Option<u64> {
        match self {
            Self::Asked { call, .. }
            | Self::Begins { call, .. }
            | Self::Beat { call, .. }
            | Self::Ends { call, .. }
            | Self::Returned { call, .. } => Some(*call),
            _ => None,
        }
    }
}

/// What the fenced register has for one key: the highest fence that wrote, and what it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    /// The fence; 0 before the first write.
    pub fence: u64,
    /// The value.
    pub value: u64,
}

/// Whom a fault may disturb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Everybody.
    Store,
    /// One worker process, and those who wait for what it holds.
    Worker(String),
    /// Takes the locks of this process away, in the store.
    Revocation(String),
    /// A leader that may wake up with an old view, and take away what others have renewed: etcd-io/etcd#15247.
    OldLeader,
    /// Nobody who waits: it only costs time.
    Load,
}

/// Where a process writes what it does. Each event is one `write` to the file, so that what was written before a kill is
/// there.
#[derive(Debug)]
pub struct Recorder {
    by: String,
    file: Mutex<File>,
}

impl Recorder {
    /// Appends to the file at `path`, as `by`.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path, by: impl Into<String>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { by: by.into(), file: Mutex::new(file) })
    }

    /// Writes that `what` happens now.
    pub fn record(&self, what: What) -> Nanos {
        self.record_at(clock::now(), what)
    }

    /// Writes what happened at `at`.
    ///
    /// # Panics
    ///
    /// If the disk is full: a history with holes proves nothing.
    #[expect(clippy::expect_used, reason = "a history with holes proves nothing")]
    pub fn record_at(&self, at: Nanos, what: What) -> Nanos {
        let event = Event { at, by: self.by.clone(), what };
        let mut line = serde_json::to_vec(&event).expect("an event is JSON");
        line.push(b'\n');
        // A panic elsewhere leaves whole lines.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).expect("the history can be written");
        at
    }
}

/// Everything that was written under `directory`, in the order of time.
///
/// # Errors
///
/// If a file cannot be read, or a line other than the last of a file is not an event: a killed process may leave half a
/// line, but nothing behind it.
pub fn read(directory: &Path) -> io::Result<Vec<Event>> {
    let mut events = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            events.extend(
                parse(&std::fs::read_to_string(&path)?)
                    .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display())))?,
            );
        }
    }
    // Events of one process at one moment stay in the order they were written.
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn parse(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut lines = text.split('\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            // The last part has no line end: it is empty, or torn, or still being written.
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
    fn a_torn_last_line_is_left_out_and_one_in_the_middle_is_an_error() {
        let event = Event { at: 7, by: "w0.1".into(), what: What::Beat { call: 3, held: true } };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(parse(&format!("{line}\n{}", &line[..20])).unwrap(), std::slice::from_ref(&event));
        assert_eq!(parse(&format!("{line}\n")).unwrap(), [event]);
        assert!(parse(&format!("{line}\n{}\n{line}\n", &line[..20])).unwrap_err().starts_with("line 2:"));
    }
}
