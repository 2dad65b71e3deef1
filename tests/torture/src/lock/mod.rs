//! The locks that can be tortured: ours, and three that are broken on purpose.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{Outcome, Promises, Wait};
use crate::worker::body::Body;

pub mod handmade;
pub mod members;
pub mod ours;
mod session;

/// A lock that runs bodies.
pub trait Lock: Send + Sync {
    /// What the store behind it promises.
    fn promises(&self) -> Promises;

    /// Takes the lock, runs the body under it, and gives it back. Dropping the future drops the body, and gives back
    /// whatever it had.
    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
}

/// What is to run, and under which lock.
#[derive(Debug)]
pub struct Request {
    /// The lock.
    pub key: String,
    /// For how long to wait for it.
    pub wait: Wait,
    /// In which kind of function.
    pub style: Style,
    /// What runs.
    pub body: Body,
}

/// The kinds of locked functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Stopped when the lock is lost.
    Cancelled,
    /// Told when the lock is lost, and going on.
    Continuing,
    /// A plain function, which blocks.
    Blocking,
    /// Stopped after this long.
    AtMost(Duration),
}

impl Style {
    /// For how many milliseconds the body may run, if there is a limit.
    #[must_use]
    pub fn most(self) -> Option<u64> {
        match self {
            Self::AtMost(most) => u64::try_from(most.as_millis()).ok(),
            _ => None,
        }
    }

    /// Whether the body is stopped when the lock is lost.
    #[must_use]
    pub fn is_stoppable(self) -> bool {
        matches!(self, Self::Cancelled | Self::AtMost(_))
    }
}

/// Why a body did not run, or not to its end.
#[derive(Debug)]
pub struct Refusal {
    /// In a word.
    pub outcome: Outcome,
    /// In a sentence.
    pub why: String,
}

/// What is wrong with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flaw {
    /// Nothing: the same lock without a flaw must not be caught, or the others are caught for another reason.
    Nothing,
    /// The lease is believed in from the moment of its last renewal's *answer*, and looked at once a second: as by etcd's
    /// own client for Go.
    LateDeadline,
    /// Whoever gives the lock back deletes its key, whoever has it.
    UncheckedRelease,
    /// A body goes on when its lock is lost.
    UnstoppedBody,
}

impl Flaw {
    /// Those that are to be caught.
    pub const EACH: [Self; 3] = [Self::LateDeadline, Self::UncheckedRelease, Self::UnstoppedBody];
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::LateDeadline => "late-deadline",
            Self::UncheckedRelease => "unchecked-release",
            Self::UnstoppedBody => "unstopped-body",
        })
    }
}

impl FromStr for Flaw {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut all = Self::EACH.into_iter().chain([Self::Nothing]);
        let named = all.find(|flaw| flaw.to_string() == name);
        named.ok_or_else(|| format!("BROKEN={name}: late-deadline, unchecked-release, unstopped-body, each or nothing"))
    }
}
