//! A lock as the process that has asked for it sees it.

use crate::values::fence::Fence;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::shown::Shown;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A lock that this process holds, waits for, or releases: see [`Locks::holds`](crate::Locks::holds).
///
/// As JSON it has `keys`, `state`, `mode`, `name`, `origin`, `fence` (as text), `lasted_ms` and `left_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LocalLock {
    /// Its key; of several locks that are acquired at one moment all of them, in the order of their names.
    pub keys: Vec<Key>,
    /// How far it has come.
    pub state: LocalState,
    /// Who else may hold it meanwhile.
    #[serde(serialize_with = "as_text")]
    pub mode: Mode,
    /// What the holder calls itself: `module::function`, or the attribute's `name`.
    pub name: Cow<'static, str>,
    /// Where in the code it was asked for: `file:line`.
    pub origin: Cow<'static, str>,
    /// Of a lock that is held.
    #[serde(serialize_with = "as_optional_text")]
    pub fence: Option<Fence>,
    /// For how long it has been held; while it is not, since it was asked for.
    #[serde(rename = "lasted_ms", serialize_with = "as_ms")]
    pub lasted: Duration,
    /// Of a lock that is held: for how long that can still be proved if no renewal succeeds any more.
    #[serde(rename = "left_ms", serialize_with = "as_optional_ms")]
    pub time_left: Option<Duration>,
}

/// How far a lock has come that this process has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LocalState {
    /// It waits for others, or for the store.
    Waiting,
    /// It is held.
    Held,
    /// The hold is over, and its body still runs, or its guard is still there.
    Overrunning,
    /// Its body has ended, and the lock stays taken for its `hold_at_least`.
    Lapsing,
    /// It is on its way out of the store, which has not acknowledged that yet.
    Releasing,
}

impl fmt::Display for LocalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Overrunning => "still running",
            Self::Lapsing => "lapsing",
            Self::Releasing => "releasing",
        })
    }
}

impl fmt::Display for LocalLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, key) in self.keys.iter().enumerate() {
            write!(f, "{}`{}`", if place > 0 { ", " } else { "" }, key.shown())?;
        }
        let Self { state, name, origin, lasted, .. } = self;
        const LONGEST: usize = 256;
        write!(f, " {state} for {lasted:.1?}, by {} ({})", Shown::new(name, LONGEST), Shown::new(origin, LONGEST))
    }
}

/// Some locks, in one line: the first ten of them.
pub(crate) struct Several<'a>(pub(crate) &'a [LocalLock]);

impl fmt::Display for Several<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (place, lock) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{lock}", if place > 0 { "; " } else { "" })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_optional_text<S: Serializer>(value: &Option<Fence>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|fence| fence.to_string()).serialize(serializer)
}

pub(crate) fn as_ms<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    ms(*value).serialize(serializer)
}

pub(crate) fn as_optional_ms<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(ms).serialize(serializer)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
