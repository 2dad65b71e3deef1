//! What an error of PostgreSQL means for who asked.

use crate::values::error::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error as ClientError;
use tokio_postgres::error::SqlState;

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again by a new connection, of this server or of another.
    Elsewhere,
    /// The server refused this attempt whole and may take the next one.
    Again,
    /// The table is not there.
    NoTable,
    /// Asking again is useless.
    Hopeless(ErrorKind),
}

/// A failed request. Many may wait for one connection, so that it can be cloned.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    text: String,
    cause: Option<Arc<ClientError>>,
}

impl Failure {
    /// The server did not answer in time.
    pub(super) fn silent(endpoint: &str, limit: Duration) -> Self {
        let text = format!("PostgreSQL at {endpoint} did not answer within {limit:?}");
        Self { verdict: Verdict::Elsewhere, text, cause: None }
    }

    /// The server, or the way to it, told an error.
    pub(super) fn told(endpoint: &str, error: ClientError) -> Self {
        let verdict = verdict(&error);
        let text = match verdict {
            Verdict::Elsewhere | Verdict::Again => format!("PostgreSQL at {endpoint} cannot be used now"),
            Verdict::NoTable => format!("PostgreSQL at {endpoint} does not have the table"),
            Verdict::Hopeless(ErrorKind::Unauthorized) => format!(
                "PostgreSQL at {endpoint} refuses this role; check user, password and certificate in the URL, and the \
                 role's rights: SELECT, INSERT and UPDATE on the table"
            ),
            Verdict::Hopeless(ErrorKind::InvalidUrl) => {
                format!("PostgreSQL at {endpoint} does not have the database or schema that the URL names")
            }
            Verdict::Hopeless(ErrorKind::InvalidKey) => {
                format!("PostgreSQL at {endpoint} cannot store this key or record; is the database in UTF-8?")
            }
            Verdict::Hopeless(_) => format!(
                "PostgreSQL at {endpoint} cannot do this; is the table one of this crate's? name another by `?table=…`"
            ),
        };
        Self { verdict, text, cause: Some(Arc::new(error)) }
    }

    /// The table cannot be made by this role.
    pub(super) fn no_table(self, endpoint: &str, creation: &str) -> Self {
        let text = format!(
            "PostgreSQL at {endpoint} does not have the table, and this role may not create it; run as its owner: \
             {creation}; GRANT SELECT, INSERT, UPDATE on it to this role"
        );
        Self { text, ..self }
    }

    /// Whether the request may have been carried out all the same.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.verdict == Verdict::Elsewhere
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.verdict {
            Verdict::Hopeless(kind) => kind,
            Verdict::NoTable => ErrorKind::Unsupported,
            Verdict::Elsewhere | Verdict::Again => ErrorKind::Unavailable,
        };
        let error = Self::new(kind, failure.text);
        match failure.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

fn verdict(error: &ClientError) -> Verdict {
    match error.code() {
        Some(state) => of_state(state),
        // The crate has no test for these: it could not log in, or not ask what the server would not understand.
        None => match error.to_string().as_str() {
            "authentication error" | "invalid configuration" => Verdict::Hopeless(ErrorKind::Unauthorized),
            _ => Verdict::Elsewhere,
        },
    }
}

/// By the state's class, the first two characters, where no single state says more.
fn of_state(state: &SqlState) -> Verdict {
    match state.code() {
        "42P01" => Verdict::NoTable,
        // Serialization, deadlock, lock not available, statement cancelled.
        "40001" | "40P01" | "55P03" | "57014" => Verdict::Again,
        "42501" => Verdict::Hopeless(ErrorKind::Unauthorized),
        "3D000" | "3F000" => Verdict::Hopeless(ErrorKind::InvalidUrl),
        code => match code.get(..2).unwrap_or_default() {
            "28" => Verdict::Hopeless(ErrorKind::Unauthorized),
            "22" | "54" => Verdict::Hopeless(ErrorKind::InvalidKey),
            "0A" | "23" | "42" => Verdict::Hopeless(ErrorKind::Unsupported),
            // Shutting down, too many connections, read only, out of space, and whatever else may pass.
            _ => Verdict::Elsewhere,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        let cases = [
            ("42P01", Verdict::NoTable),
            ("40P01", Verdict::Again),
            ("57P01", Verdict::Elsewhere),
            ("57P03", Verdict::Elsewhere),
            ("53300", Verdict::Elsewhere),
            ("25006", Verdict::Elsewhere),
            ("08006", Verdict::Elsewhere),
            ("28P01", Verdict::Hopeless(ErrorKind::Unauthorized)),
            ("28000", Verdict::Hopeless(ErrorKind::Unauthorized)),
            ("42501", Verdict::Hopeless(ErrorKind::Unauthorized)),
            ("3D000", Verdict::Hopeless(ErrorKind::InvalidUrl)),
            ("42703", Verdict::Hopeless(ErrorKind::Unsupported)),
            ("22P05", Verdict::Hopeless(ErrorKind::InvalidKey)),
            ("99999", Verdict::Elsewhere),
        ];
        for (code, expected) in cases {
            assert_eq!(of_state(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
