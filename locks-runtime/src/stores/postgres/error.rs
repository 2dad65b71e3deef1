//! What an error of PostgreSQL means for the request that met it.

use crate::values::error::{Error, ErrorKind};
use crate::values::shown::{Chain, Shown};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error as ClientError;
use tokio_postgres::error::{DbError, Severity};

/// The session ended because this process closed it.
pub(super) const SESSION_CLOSED: &str = "the session was closed";

/// The session ended because no renewal was acknowledged within its TTL.
pub(super) const SESSION_LAPSED: &str = "the session was not renewed in time, and its entries lapsed in the store";

/// A renewal did not find an entry.
pub(super) const ENTRY_GONE: &str = "the entry is gone from the store: it was removed, or not renewed in time";

/// The session is there, and the entry is not. Not `Lost`, by which the engine would lose every hold in the session: whoever asked
/// begins anew with another entry, and this one leaves wherever some of it is still there.
pub(super) fn deleted_while_entering() -> Error {
    Error::unavailable(
        "the entry was deleted in PostgreSQL while it was about to acquire the lock: somebody released it by force, or another \
         program deletes rows there",
    )
}

/// A waiter did not find its entry.
pub(super) const ENTRY_LAPSED: &str = "the entry in the queue lapsed: it was not renewed in time";

/// The lock's holder was removed by `force_release`.
pub(super) const RELEASED_BY_FORCE: &str = "the lock was released by force in the store";

/// The entry holds the lock by another number than it was granted.
pub(super) const OTHER_FENCE: &str =
    "the store shows another fence for this hold: the table was changed by hand, or restored from a copy";

/// Another transaction has locked the lock's row, and does not end.
pub(super) const ROW_LOCKED: &str = "the lock's row is locked by another transaction in the database, which does not end; \
     `pg_stat_activity` shows it, perhaps as `idle in transaction`";

/// How much of what the server says is shown.
const LONGEST_CAUSE: usize = 400;

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again by a new connection, to this server or another.
    Reconnect,
    /// Send it again: the server refused this attempt as a whole and may accept the next one.
    Retry,
    /// As `Retry`, and see to it that the next attempt runs under READ COMMITTED.
    Isolate,
    /// As `Retry`, with the statement's text: the server cannot use what it has prepared.
    Unprepared,
    /// A row is locked by another transaction: nothing was done.
    RowLocked,
    /// There is no room for notifications: nothing was done.
    NoNotification,
    /// The server answered and refuses for now: out of space, of memory, or by a rule of its own.
    Refused,
    /// Find the table again, or create it, and send it again.
    FindTable,
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
    cause: Option<Cause>,
}

/// All that the client crate says about an error, in one line.
#[derive(Clone, Debug)]
struct Cause {
    text: Arc<str>,
    /// The server's code of it.
    code: Option<Arc<str>>,
    /// The server has definitely not done what was asked.
    is_definite: bool,
}

impl Failure {
    /// The server did not answer in time.
    pub(super) fn timeout(endpoint: &str, limit: Duration) -> Self {
        Self::new(Verdict::Reconnect, format!("PostgreSQL at {endpoint} did not answer within {limit:?}"), None)
    }

    /// The server, or the connection to it, reported an error.
    pub(super) fn reported(endpoint: &str, error: &ClientError) -> Self {
        let verdict = verdict(error);
        let cause = Cause::of(error);
        Self::new(verdict, message(endpoint, verdict, cause.code.as_deref()), Some(cause))
    }

    /// What a test puts in the network's place has no connection to this server, or to none that takes writes.
    #[cfg(feature = "testing")]
    pub(super) fn not_dialled(endpoint: &str, cause: &std::io::Error) -> Self {
        let cause = Cause { text: cause.to_string().into(), code: None, is_definite: false };
        Self::new(Verdict::Reconnect, message(endpoint, Verdict::Reconnect, None), Some(cause))
    }

    /// The table cannot be used, for a reason that only a person can change.
    pub(super) fn unusable(kind: ErrorKind, message: String) -> Self {
        Self::new(Verdict::Fail(kind), message, None)
    }

    /// The table does not exist, and this role must not create it.
    pub(super) fn no_table(self, endpoint: &str, creation: &str) -> Self {
        let message = format!(
            "PostgreSQL at {endpoint} does not have the table, and this role may not create it; run as its owner: \
             {creation}; GRANT SELECT, INSERT, UPDATE, DELETE on it to this role"
        );
        Self { message, verdict: Verdict::Fail(ErrorKind::Unsupported), ..self }
    }

    /// The same failure, where an earlier attempt may still be carried out as well.
    pub(super) fn with_unresolved(self, is_unresolved: bool) -> Self {
        Self { is_unresolved: self.is_unresolved || is_unresolved, ..self }
    }

    /// The server's code.
    pub(super) fn code(&self) -> Option<&str> {
        self.cause.as_ref()?.code.as_deref()
    }

    /// Whether the request may still be carried out after this.
    pub(super) fn is_open(&self) -> bool {
        self.verdict == Verdict::Reconnect && !self.cause.as_ref().is_some_and(|cause| cause.is_definite)
    }

    fn new(verdict: Verdict, message: String, cause: Option<Cause>) -> Self {
        Self { verdict, is_unresolved: false, message, cause }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.verdict {
            Verdict::Fail(kind) => kind,
            // The table was there when it was looked for, or was made just now.
            Verdict::FindTable
            | Verdict::Reconnect
            | Verdict::Retry
            | Verdict::Isolate
            | Verdict::Unprepared
            | Verdict::RowLocked
            | Verdict::NoNotification
            | Verdict::Refused => ErrorKind::Unavailable,
        };
        let error = Self::new(kind, failure.message);
        match failure.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl Cause {
    fn of(error: &ClientError) -> Self {
        let Some(answer) = error.as_db_error() else {
            return Self { text: Chain::of(error).to_string().into(), code: None, is_definite: false };
        };
        let code = answer.code().code();
        let detail = answer.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
        let text = format!("{} ({}, SQLSTATE {code}{detail})", answer.message(), answer.severity());
        // One that is fatal may be that of a commit.
        let is_definite = answer.parsed_severity() == Some(Severity::Error);
        Self { text: Shown::new(text, LONGEST_CAUSE).to_string().into(), code: Some(code.into()), is_definite }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {}

fn message(endpoint: &str, verdict: Verdict, code: Option<&str>) -> String {
    let what = match (verdict, code.unwrap_or_default()) {
        (Verdict::RowLocked, _) => return format!("PostgreSQL at {endpoint}: {ROW_LOCKED}"),
        (Verdict::NoNotification, _) => {
            "has no room for notifications; some session listens, and has stayed in one transaction for long".to_owned()
        }
        (Verdict::Refused, _) => "answers, and refuses this for now".to_owned(),
        (Verdict::FindTable, _) => "does not have the table".to_owned(),
        (Verdict::Fail(ErrorKind::Unauthorized), _) => {
            "refuses this role; check user, password and certificate in the URL, and the role's rights: SELECT, INSERT and \
             UPDATE on the table, USAGE on its schema"
                .to_owned()
        }
        (Verdict::Fail(ErrorKind::InvalidUrl), _) => {
            "does not have the database or schema that the URL names; name a table by `?table=schema.table`".to_owned()
        }
        (Verdict::Fail(ErrorKind::InvalidKey), "22001" | "54000") => {
            "cannot store this key: it is longer than the table's column `name`, or its index, allows".to_owned()
        }
        (Verdict::Fail(ErrorKind::InvalidKey), "22021" | "22P05") => {
            "cannot store this key or record; is the database in UTF-8?".to_owned()
        }
        (Verdict::Fail(ErrorKind::InvalidKey), _) => "cannot store this key or record".to_owned(),
        (Verdict::Fail(_), _) => {
            "cannot do this with the table; if it is not one of this crate's, name another by `?table=…`".to_owned()
        }
        (Verdict::Reconnect | Verdict::Retry | Verdict::Isolate | Verdict::Unprepared, _) => "cannot be used now".to_owned(),
    };
    format!("PostgreSQL at {endpoint} {what}")
}

fn verdict(error: &ClientError) -> Verdict {
    match error.as_db_error() {
        Some(answer) => of_answer(answer.code().code(), answer.parsed_severity(), routine(answer)),
        // The client crate has no method for these two: the log-in failed, or the server wants a password and there is none.
        None => match error.to_string().as_str() {
            "authentication error" | "invalid configuration" => Verdict::Fail(ErrorKind::Unauthorized),
            _ => Verdict::Reconnect,
        },
    }
}

fn routine(answer: &DbError) -> &str {
    answer.routine().unwrap_or_default()
}

/// Decides by the state's class, its first two characters, where no single state says more.
fn of_answer(code: &str, severity: Option<Severity>, routine: &str) -> Verdict {
    match code {
        "42P01" => Verdict::FindTable,
        "55P03" => Verdict::RowLocked,
        "40001" => Verdict::Isolate,
        // Deadlock, statement cancelled.
        "40P01" | "57014" => Verdict::Retry,
        // Forgotten, perhaps by `DISCARD ALL`; or the table was altered since.
        "26000" => Verdict::Unprepared,
        "0A000" if routine == "RevalidateCachedQuery" => Verdict::Unprepared,
        // Only the function that reports it tells a full queue of notifications from a key that no index has room for.
        "54000" if routine.contains("Notify") => Verdict::NoNotification,
        "42501" => Verdict::Fail(ErrorKind::Unauthorized),
        "3D000" | "3F000" => Verdict::Fail(ErrorKind::InvalidUrl),
        // Another server may be the one that takes writes now.
        "25006" => Verdict::Reconnect,
        code => match code.get(..2).unwrap_or_default() {
            "28" => Verdict::Fail(ErrorKind::Unauthorized),
            "22" | "54" => Verdict::Fail(ErrorKind::InvalidKey),
            "0A" | "23" | "42" => Verdict::Fail(ErrorKind::Unsupported),
            "08" | "57" => Verdict::Reconnect,
            // Out of space or memory, refused by a trigger, and whatever else may pass: the connection is well.
            _ if severity == Some(Severity::Error) => Verdict::Refused,
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
            ("42P01", Verdict::FindTable),
            ("40001", Verdict::Isolate),
            ("40P01", Verdict::Retry),
            ("26000", Verdict::Unprepared),
            ("0A000", Verdict::Fail(ErrorKind::Unsupported)),
            ("55P03", Verdict::RowLocked),
            ("57P01", Verdict::Reconnect),
            ("57P03", Verdict::Reconnect),
            ("25006", Verdict::Reconnect),
            ("08006", Verdict::Reconnect),
            ("28P01", Verdict::Fail(ErrorKind::Unauthorized)),
            ("28000", Verdict::Fail(ErrorKind::Unauthorized)),
            ("42501", Verdict::Fail(ErrorKind::Unauthorized)),
            ("3D000", Verdict::Fail(ErrorKind::InvalidUrl)),
            ("42703", Verdict::Fail(ErrorKind::Unsupported)),
            ("22P05", Verdict::Fail(ErrorKind::InvalidKey)),
            ("54000", Verdict::Fail(ErrorKind::InvalidKey)),
            ("53100", Verdict::Refused),
            ("P0001", Verdict::Refused),
            ("99999", Verdict::Refused),
        ];
        for (code, expected) in cases {
            assert_eq!(of_answer(code, Some(Severity::Error), ""), expected, "{code}");
        }
        for fatal in ["53300", "53200", "99999"] {
            assert_eq!(of_answer(fatal, Some(Severity::Fatal), ""), Verdict::Reconnect, "{fatal}");
        }
    }

    /// PostgreSQL has one state for it and for a key that is too long.
    #[test]
    fn a_full_queue_of_notifications_is_no_invalid_key() {
        let full = of_answer("54000", Some(Severity::Error), "PreCommit_Notify");
        assert_eq!(full, Verdict::NoNotification);
        let error = Error::from(Failure::new(full, message("db:5432", full, Some("54000")), None));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("notifications"), "{error}");
    }

    /// Somebody drops it again and again: that says nothing about what will be.
    #[test]
    fn a_table_that_is_gone_once_more_is_waited_for() {
        let gone = of_answer("42P01", Some(Severity::Error), "");
        let error = Error::from(Failure::new(gone, message("db:5432", gone, Some("42P01")), None));
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}
