//! What an error of PostgreSQL means for the request that met it.

use crate::values::error::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error as ClientError;
use tokio_postgres::error::SqlState;

/// The session ended because this process closed it.
pub(super) const SESSION_CLOSED: &str = "the session was closed";

/// The session ended because no renewal was acknowledged within its TTL.
pub(super) const SESSION_LAPSED: &str = "the session was not renewed in time, and its entries lapsed in the store";

/// A renewal did not find an entry.
pub(super) const ENTRY_GONE: &str = "the entry is gone from the store: it was removed, or not renewed in time";

/// A waiter did not find its entry.
pub(super) const ENTRY_LAPSED: &str = "the entry in the queue lapsed: it was not renewed in time";

/// The lock's holder was removed by `force_release`.
pub(super) const RELEASED_BY_FORCE: &str = "the lock was released by force in the store";

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again by a new connection, to this server or another.
    Reconnect,
    /// Send it again: the server refused this attempt as a whole and may accept the next one.
    Retry,
    /// Create the table, which does not exist, and send it again.
    CreateTable,
    /// Give up: sending it again is useless.
    Fail(ErrorKind),
}

/// A failed request. It can be cloned, because many requests may wait for one connection.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// An attempt of it had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
    message: String,
    cause: Option<Arc<ClientError>>,
}

impl Failure {
    /// The server did not answer in time.
    pub(super) fn timeout(endpoint: &str, limit: Duration) -> Self {
        Self::new(Verdict::Reconnect, format!("PostgreSQL at {endpoint} did not answer within {limit:?}"), None)
    }

    /// The server, or the connection to it, reported an error.
    pub(super) fn reported(endpoint: &str, error: ClientError) -> Self {
        let verdict = verdict(&error);
        Self::new(verdict, message(endpoint, verdict), Some(Arc::new(error)))
    }

    /// The table does not exist, and this role must not create it.
    pub(super) fn no_table(self, endpoint: &str, creation: &str) -> Self {
        let message = format!(
            "PostgreSQL at {endpoint} does not have the table, and this role may not create it; run as its owner: \
             {creation}; GRANT SELECT, INSERT, UPDATE on it to this role"
        );
        Self { message, ..self }
    }

    /// The same failure, saying whether an attempt may still be carried out.
    pub(super) fn with_unresolved(self, is_unresolved: bool) -> Self {
        Self { is_unresolved, ..self }
    }

    fn new(verdict: Verdict, message: String, cause: Option<Arc<ClientError>>) -> Self {
        Self { verdict, is_unresolved: false, message, cause }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.verdict {
            Verdict::Fail(kind) => kind,
            Verdict::CreateTable => ErrorKind::Unsupported,
            Verdict::Reconnect | Verdict::Retry => ErrorKind::Unavailable,
        };
        let error = Self::new(kind, failure.message);
        match failure.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

fn message(endpoint: &str, verdict: Verdict) -> String {
    match verdict {
        Verdict::Reconnect | Verdict::Retry => format!("PostgreSQL at {endpoint} cannot be used now"),
        Verdict::CreateTable => format!("PostgreSQL at {endpoint} does not have the table"),
        Verdict::Fail(ErrorKind::Unauthorized) => format!(
            "PostgreSQL at {endpoint} refuses this role; check user, password and certificate in the URL, and the \
             role's rights: SELECT, INSERT and UPDATE on the table"
        ),
        Verdict::Fail(ErrorKind::InvalidUrl) => {
            format!("PostgreSQL at {endpoint} does not have the database or schema that the URL names")
        }
        Verdict::Fail(ErrorKind::InvalidKey) => {
            format!("PostgreSQL at {endpoint} cannot store this key or record; is the database in UTF-8?")
        }
        Verdict::Fail(_) => format!(
            "PostgreSQL at {endpoint} cannot do this; is the table one of this crate's? name another by `?table=…`"
        ),
    }
}

fn verdict(error: &ClientError) -> Verdict {
    match error.code() {
        Some(state) => of_state(state),
        // The client crate has no method for these two: the log-in failed, or the server wants a password and there is none.
        None => match error.to_string().as_str() {
            "authentication error" | "invalid configuration" => Verdict::Fail(ErrorKind::Unauthorized),
            _ => Verdict::Reconnect,
        },
    }
}

/// Decides by the state's class, its first two characters, where no single state says more.
fn of_state(state: &SqlState) -> Verdict {
    match state.code() {
        "42P01" => Verdict::CreateTable,
        // Serialization, deadlock, lock not available, statement cancelled.
        "40001" | "40P01" | "55P03" | "57014" => Verdict::Retry,
        "42501" => Verdict::Fail(ErrorKind::Unauthorized),
        "3D000" | "3F000" => Verdict::Fail(ErrorKind::InvalidUrl),
        code => match code.get(..2).unwrap_or_default() {
            "28" => Verdict::Fail(ErrorKind::Unauthorized),
            "22" | "54" => Verdict::Fail(ErrorKind::InvalidKey),
            "0A" | "23" | "42" => Verdict::Fail(ErrorKind::Unsupported),
            // Shutting down, too many connections, read only, out of space, and whatever else may pass.
            _ => Verdict::Reconnect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_verdict() {
        let cases = [
            ("42P01", Verdict::CreateTable),
            ("40P01", Verdict::Retry),
            ("57P01", Verdict::Reconnect),
            ("57P03", Verdict::Reconnect),
            ("53300", Verdict::Reconnect),
            ("25006", Verdict::Reconnect),
            ("08006", Verdict::Reconnect),
            ("28P01", Verdict::Fail(ErrorKind::Unauthorized)),
            ("28000", Verdict::Fail(ErrorKind::Unauthorized)),
            ("42501", Verdict::Fail(ErrorKind::Unauthorized)),
            ("3D000", Verdict::Fail(ErrorKind::InvalidUrl)),
            ("42703", Verdict::Fail(ErrorKind::Unsupported)),
            ("22P05", Verdict::Fail(ErrorKind::InvalidKey)),
            ("99999", Verdict::Reconnect),
        ];
        for (code, expected) in cases {
            assert_eq!(of_state(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
