//! What comes of a statement.

use super::value::{Kind, Value};

/// What comes of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is over.
    Done(Result<Rows, Refusal>),
    /// It waits for what another transaction has locked: until then by the server's clock, in microseconds, or for ever.
    Waits(Option<i64>),
}

/// What a statement returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The columns, by name.
    pub columns: &'static [(&'static str, Kind)],
    /// A value for each.
    pub rows: Vec<Vec<Value>>,
}

/// An error that the server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The session is over.
    pub is_fatal: bool,
    /// The function of the server that reports it.
    pub routine: &'static str,
}

impl Refusal {
    pub(super) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_fatal: false, routine: "model" }
    }

    pub(super) fn fatal(code: &'static str, message: &str) -> Self {
        Self { is_fatal: true, ..Self::error(code, message) }
    }

    pub(super) fn no_table() -> Self {
        Self::error("42P01", "relation \"public.distributed_locks\" does not exist")
    }

    pub(super) fn no_right() -> Self {
        Self::error("42501", "permission denied for table distributed_locks")
    }

    pub(super) fn lock_timeout() -> Self {
        Self::error("55P03", "canceling statement due to lock timeout")
    }

    pub(super) fn cancelled() -> Self {
        Self::error("57014", "canceling statement due to user request")
    }

    pub(super) fn terminated() -> Self {
        Self::fatal("57P01", "terminating connection due to administrator command")
    }
}

/// Why a statement does not go on.
pub(super) enum Stop {
    Refused(Refusal),
    /// Another transaction has locked what it needs.
    Locked(Option<i64>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
