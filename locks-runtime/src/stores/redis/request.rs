//! Commands of the script, and what comes of them.

use crate::values::error::Error;
use redis::Value;

/// A command of the script.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: &'static str,
    /// The names of the locks.
    pub(super) locks: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Request {
    /// Whether its locks are those of several entries, each of which is served by itself.
    pub(super) fn is_of_each(&self) -> bool {
        matches!(self.command, "enter" | "leave" | "poll" | "renew" | "confirm" | "inspect")
    }
}

/// What came of a request.
pub(super) struct Response {
    pub(super) result: Result<Value, Error>,
    /// An attempt had no answer, and may still be carried out.
    pub(super) is_unresolved: bool,
}

/// What came of several: a result for each, or one error if the server did not answer.
pub(super) struct Responses {
    pub(super) results: Result<Vec<Result<Value, Error>>, Error>,
    pub(super) is_unresolved: bool,
}
