//! The locks that can be tortured: the attribute's, and a naive one with a flaw.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{Outcome, Promises, Wait};
use crate::worker::body::Body;

pub mod line;
pub mod members;
mod modes;
pub mod naive;
pub mod options;
pub mod ours;
mod session;
pub mod wanted;

pub use wanted::{Kinds, Wanted};

/// A lock that runs bodies.
pub trait Lock: Send + Sync {
    /// What the store behind it promises.
    fn promises(&self) -> Promises;

    /// Acquires the lock, runs the body under it, and releases it. Dropping the future drops the body, and releases or
    /// withdraws whatever there was.
    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
}

/// A body to be run, and its lock.
#[derive(Debug)]
pub struct Request {
    /// The lock, or several.
    pub wanted: Wanted,
    /// How long to wait for it.
    pub wait: Wait,
    /// The kind of function that is called.
    pub style: Style,
    /// The body.
    pub body: Body,
}

/// The kinds of locked functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Stopped when the lock is lost.
    Cancelled,
    /// Goes on when the lock is lost (`on_lost = continue`).
    Continuing,
    /// A plain function, which blocks.
    Blocking,
    /// Stopped after this long (`hold_at_most`).
    AtMost(Duration),
    /// One term of the leader that is elected by the key.
    Leading,
}

impl Style {
    /// For how many milliseconds the body may run, if there is a limit.
    #[must_use]
    pub fn limit_ms(self) -> Option<u64> {
        match self {
            Self::AtMost(limit) => u64::try_from(limit.as_millis()).ok(),
            _ => None,
        }
    }

    /// Whether the body is stopped when the lock is lost.
    #[must_use]
    pub fn is_stoppable(self) -> bool {
        matches!(self, Self::Cancelled | Self::AtMost(_) | Self::Leading)
    }
}

/// Why a body did not run, or not to its end.
#[derive(Debug)]
pub struct Failure {
    /// Its kind.
    pub outcome: Outcome,
    /// The error's text.
    pub message: String,
}

impl Failure {
    fn new(outcome: Outcome, message: &str) -> Self {
        Self { outcome, message: message.to_owned() }
    }
}

/// What is wrong with the naive lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flaw {
    /// Nothing. This lock must not be caught: otherwise the others may be caught for another reason than their flaw.
    Nothing,
    /// The lease's deadline is counted from the *answer* to its last renewal, as etcd's client for Go does, and looked at
    /// once a second, when the next renewal is due.
    LateDeadline,
    /// A release deletes the key, whoever holds it by then.
    UncheckedRelease,
    /// A body goes on when its lock is lost.
    UnstoppedBody,
    /// The key of a call that is to hold at least for some time moves to a lease of just that time, which nothing renews.
    ShortLeast,
    /// The next call of the process joins a hold that is lost.
    JoinedAfterLoss,
    /// A waiter that was notified that the lock is free takes it, without a condition.
    TurnByMessage,
    /// Nothing, in a lock that has readers, permits and several locks at one moment. It must not be caught either.
    NothingInLine,
    /// A reader looks only at who holds the lock, and not at the writers that wait before it.
    PassedWriter,
    /// Who waits for a permit counts the one twice that is released: as what it was woken for, and as what it reads.
    PermitCountedTwice,
    /// Several locks are acquired one after another, each of them held while the next is waited for.
    OneAfterAnother,
}

impl Flaw {
    /// The flaws that have to be caught.
    pub const EACH: [Self; 9] = [
        Self::LateDeadline,
        Self::UncheckedRelease,
        Self::UnstoppedBody,
        Self::ShortLeast,
        Self::JoinedAfterLoss,
        Self::TurnByMessage,
        Self::PassedWriter,
        Self::PermitCountedTwice,
        Self::OneAfterAnother,
    ];

    /// Those locks that have none, and must not be caught.
    pub const NONE: [Self; 2] = [Self::Nothing, Self::NothingInLine];

    /// Whether the lock has readers, permits and several locks at one moment.
    #[must_use]
    pub fn is_of_a_line(self) -> bool {
        use Flaw::{NothingInLine, OneAfterAnother, PassedWriter, PermitCountedTwice};
        matches!(self, NothingInLine | PassedWriter | PermitCountedTwice | OneAfterAnother)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::LateDeadline => "late-deadline",
            Self::UncheckedRelease => "unchecked-release",
            Self::UnstoppedBody => "unstopped-body",
            Self::ShortLeast => "short-least",
            Self::JoinedAfterLoss => "joined-after-loss",
            Self::TurnByMessage => "turn-by-message",
            Self::NothingInLine => "nothing-in-line",
            Self::PassedWriter => "passed-writer",
            Self::PermitCountedTwice => "permit-counted-twice",
            Self::OneAfterAnother => "one-after-another",
        })
    }
}

impl FromStr for Flaw {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = || Self::EACH.into_iter().chain(Self::NONE);
        let named = all().find(|flaw| flaw.to_string() == name);
        named.ok_or_else(|| {
            let all: Vec<String> = all().map(|flaw| format!("`{flaw}`")).collect();
            format!("BROKEN={name}: expected `each` or one of {}", all.join(", "))
        })
    }
}
