//! What an error of MariaDB or MySQL means for the request that met it.

use crate::values::error::{Error, ErrorKind};
use crate::values::shown::{Chain, Shown};
use mysql_async::{DriverError, Error as ClientError};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// The entry holds the lock by another number than it was granted.
pub(super) const OTHER_FENCE: &str =
    "the store shows another fence for this hold: the table was changed by hand, or restored from a copy";

/// Another transaction has locked the lock's row, and does not end.
pub(super) const ROW_LOCKED: &str = "the lock's row is locked by another transaction in the database, which does not end, or \
     is changed by others all the time; `SHOW ENGINE INNODB STATUS` and `information_schema.innodb_trx` show it";

/// The session is there, and the entry is not. Not `Lost`, by which the engine would lose every hold in the session: whoever asked
/// begins anew with another entry, and this one leaves wherever some of it is still there.
pub(super) fn deleted_while_entering() -> Error {
    Error::unavailable(
        "the entry was deleted in the database while it was about to acquire the lock: somebody released it by force, or another \
         program deletes rows there",
    )
}

/// The same of one that lapsed before it was known to be there.
pub(super) fn lapsed_while_entering() -> Error {
    Error::unavailable(
        "the entry had lapsed in the database before its answer came: the database, or the way to it, is too slow for this TTL",
    )
}

pub(super) fn not_held() -> Error {
    Error::lost("the entry no longer holds the lock")
}

/// How much of what the server says is shown.
const LONGEST_CAUSE: usize = 400;

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again by a new connection, to this server or another.
    Reconnect,
    /// As `Reconnect`, for this server takes no writes.
    ReadOnly,
    /// Send it again: the server refused this attempt as a whole and may accept the next one.
    Retry,
    /// A row is locked by another transaction: nothing was done.
    RowLocked,
    /// A row of this name is there: nothing was done.
    Duplicate,
    /// A row is no longer what it was: nothing was done.
    Overtaken,
    /// The server answered and refuses for now: out of space, of memory, of connections, or by a rule of its own.
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
    /// The server's code of it; 0 if it is not the server's.
    code: u16,
    /// The server has definitely not done what was asked.
    is_definite: bool,
}

impl Failure {
    /// The server did not answer in time.
    pub(super) fn timeout(endpoint: &str, limit: Duration) -> Self {
        Self::new(Verdict::Reconnect, format!("MySQL at {endpoint} did not answer within {limit:?}"), None)
    }

    /// The server, or the connection to it, reported an error.
    pub(super) fn reported(endpoint: &str, error: &ClientError) -> Self {
        let (verdict, cause) = (verdict(error), Cause::of(error));
        Self::new(verdict, message(endpoint, verdict, cause.code), Some(cause))
    }

    /// The server answered, and says that it takes no writes.
    pub(super) fn read_only(endpoint: &str) -> Self {
        let cause = Cause { text: "`read_only` or `innodb_read_only` is on".into(), code: 0, is_definite: true };
        Self::new(Verdict::ReadOnly, message(endpoint, Verdict::ReadOnly, 0), Some(cause))
    }

    /// The server has begun a transaction, and waits for a commit.
    pub(super) fn without_autocommit(endpoint: &str) -> Self {
        let message = format!(
            "MySQL at {endpoint} left a statement in an open transaction: `autocommit` is off, although each connection sets it; \
             a proxy in between must keep what its clients set"
        );
        Self::new(Verdict::Fail(ErrorKind::Unsupported), message, None)
    }

    /// A row stays locked, or is changed by others at each look.
    pub(super) fn row_locked(endpoint: &str) -> Self {
        Self::new(Verdict::RowLocked, message(endpoint, Verdict::RowLocked, 0), None)
    }

    /// The table cannot be used, for a reason that only a person can change.
    pub(super) fn unusable(kind: ErrorKind, message: String) -> Self {
        Self::new(Verdict::Fail(kind), message, None)
    }

    /// The table does not exist, and this user must not create it.
    pub(super) fn no_table(self, endpoint: &str, creation: &str) -> Self {
        let message = format!(
            "MySQL at {endpoint} does not have the table, or not for this user, who may not create it; run as one who may: \
             {creation}; GRANT SELECT, INSERT, UPDATE, DELETE on it to this user"
        );
        Self { message, verdict: Verdict::Fail(ErrorKind::Unsupported), ..self }
    }

    /// The same failure, where an earlier attempt may still be carried out as well.
    pub(super) fn with_unresolved(self, is_unresolved: bool) -> Self {
        Self { is_unresolved: self.is_unresolved || is_unresolved, ..self }
    }

    /// The server's code.
    pub(super) fn code(&self) -> u16 {
        self.cause.as_ref().map_or(0, |cause| cause.code)
    }

    /// Whether the request may still be carried out after this.
    pub(super) fn is_open(&self) -> bool {
        let is_definite = self.cause.as_ref().is_some_and(|cause| cause.is_definite);
        !is_definite && (self.verdict == Verdict::Reconnect || self.code() != 0)
    }

    /// Whether nothing was done because of what others do to the same rows: it may be done at the next attempt.
    pub(super) fn is_in_the_way(&self) -> bool {
        matches!(self.verdict, Verdict::RowLocked | Verdict::Duplicate | Verdict::Overtaken | Verdict::Retry)
    }

    /// Whether the connection is of no more use. One keeps the rights in a database that its user had when it was made.
    pub(super) fn breaks(&self) -> bool {
        matches!(self.verdict, Verdict::Reconnect | Verdict::ReadOnly | Verdict::Fail(ErrorKind::Unauthorized))
            || self.cause.as_ref().is_none_or(|cause| cause.code == 0)
    }

    fn new(verdict: Verdict, message: String, cause: Option<Cause>) -> Self {
        Self { verdict, is_unresolved: false, message, cause }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.verdict {
            Verdict::Fail(kind) => kind,
            // It was there when it was looked for, or was made just now.
            Verdict::FindTable
            | Verdict::Reconnect
            | Verdict::ReadOnly
            | Verdict::Retry
            | Verdict::RowLocked
            | Verdict::Duplicate
            | Verdict::Overtaken
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
        let (text, code, is_definite) = match error {
            ClientError::Server(answer) => {
                let text = format!("{} (error {}, SQLSTATE {})", answer.message, answer.code, answer.state);
                (text, answer.code, is_definite(answer.code))
            }
            other => (Chain::of(other).to_string(), 0, false),
        };
        Self { text: Shown::new(text, LONGEST_CAUSE).to_string().into(), code, is_definite }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {}

/// A statement that the server refuses is rolled back. Not so where it stops, or reports on the commit.
fn is_definite(code: u16) -> bool {
    !matches!(code, 1053 | 1105 | 1158..=1161 | 1180 | 1927 | 1047)
}

fn message(endpoint: &str, verdict: Verdict, code: u16) -> String {
    let what = match (verdict, code) {
        (Verdict::RowLocked, _) => return format!("MySQL at {endpoint}: {ROW_LOCKED}"),
        (Verdict::ReadOnly, _) => {
            "takes no writes: it is a replica, or set to `read_only` or `innodb_read_only`; name all servers in the URL, and behind a proxy that splits \
             reads from writes use an address that leads to the primary alone"
        }
        (Verdict::Refused, _) => "answers, and refuses this for now",
        (Verdict::FindTable, _) => "does not have the table",
        (Verdict::Fail(ErrorKind::Unauthorized), _) => {
            "refuses this user; check user, password and certificate in the URL, and the user's rights: SELECT, INSERT and UPDATE \
             on the table"
        }
        (Verdict::Fail(ErrorKind::InvalidUrl), _) => {
            "does not have the database that the URL names; it comes after the host: `mysql://user@host/database`"
        }
        (Verdict::Fail(ErrorKind::InvalidKey), _) => "cannot store this key or record",
        (Verdict::Fail(_), 1665) => {
            "has `binlog_format=STATEMENT`, which InnoDB cannot write under READ COMMITTED; set it to `MIXED` or `ROW`"
        }
        (Verdict::Fail(_), 1153) => {
            "takes no packet of this size: a queue has become too long for `max_allowed_packet`"
        }
        (Verdict::Fail(_), 1064 | 1193) => {
            "does not understand a statement; MariaDB must be 10.6 or newer, MySQL 8.0 or newer"
        }
        (Verdict::Fail(_), _) => {
            "cannot do this with the table; if it is not one of this crate's, name another by `?table=…`"
        }
        (Verdict::Reconnect | Verdict::Retry | Verdict::Duplicate | Verdict::Overtaken, _) => "cannot be used now",
    };
    format!("MySQL at {endpoint} {what}")
}

fn verdict(error: &ClientError) -> Verdict {
    match error {
        ClientError::Server(answer) => of_answer(answer.code, &answer.state),
        ClientError::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled
            | DriverError::NoClientSslFlagFromServer,
        ) => Verdict::Fail(ErrorKind::Unauthorized),
        ClientError::Driver(DriverError::PacketTooLarge) => Verdict::Fail(ErrorKind::Unsupported),
        _ => Verdict::Reconnect,
    }
}

/// Decides by the state's class, its first two characters, where no single code says more.
fn of_answer(code: u16, state: &str) -> Verdict {
    match code {
        1146 => Verdict::FindTable,
        // A lock wait that took too long; MySQL's NOWAIT.
        1205 | 3572 => Verdict::RowLocked,
        // Deadlock; cancelled by `KILL QUERY` or a limit of time; a statement that was prepared before the table was changed.
        1213 | 1317 | 1614 | 1615 | 1969 | 3024 => Verdict::Retry,
        1062 => Verdict::Duplicate,
        // What `SwapAll` adds to a version that it does not expect.
        1690 => Verdict::Overtaken,
        1290 | 1792 | 1836 | 1223 => Verdict::ReadOnly,
        // Prepared statements that a proxy or `max_prepared_stmt_count` has taken away.
        1243 => Verdict::Reconnect,
        1044 | 1045 | 1142 | 1143 | 1227 | 1251 | 1370 | 1396 | 1698 | 1820 | 1862 | 3118 | 4151 => {
            Verdict::Fail(ErrorKind::Unauthorized)
        }
        1049 => Verdict::Fail(ErrorKind::InvalidUrl),
        1366 | 1406 => Verdict::Fail(ErrorKind::InvalidKey),
        // Too many connections, or a limit of the user's.
        1040 | 1203 | 1226 | 1461 => Verdict::Refused,
        // It stops; the connection was killed; a cluster that is not ready; it was idle for too long.
        1053 | 1152 | 1158..=1161 | 1927 | 1047 | 4031 => Verdict::Reconnect,
        1064 | 1153 | 1193 | 1665 => Verdict::Fail(ErrorKind::Unsupported),
        _ => match state.get(..2).unwrap_or_default() {
            "28" => Verdict::Fail(ErrorKind::Unauthorized),
            "42" | "21" | "22" | "23" | "0A" => Verdict::Fail(ErrorKind::Unsupported),
            "08" => Verdict::Reconnect,
            // As by a cluster, at the commit.
            "40" => Verdict::Retry,
            // Out of space or memory, refused by a trigger, and whatever else may pass: the connection is well.
            _ => Verdict::Refused,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_verdict() {
        let cases = [
            (1146, "42S02", Verdict::FindTable),
            (1205, "HY000", Verdict::RowLocked),
            (1213, "40001", Verdict::Retry),
            (3101, "40000", Verdict::Retry),
            (1317, "70100", Verdict::Retry),
            (1062, "23000", Verdict::Duplicate),
            (1690, "22003", Verdict::Overtaken),
            (1290, "HY000", Verdict::ReadOnly),
            (1045, "28000", Verdict::Fail(ErrorKind::Unauthorized)),
            (1142, "42000", Verdict::Fail(ErrorKind::Unauthorized)),
            (1049, "42000", Verdict::Fail(ErrorKind::InvalidUrl)),
            (1406, "22001", Verdict::Fail(ErrorKind::InvalidKey)),
            (1040, "08004", Verdict::Refused),
            (1053, "08S01", Verdict::Reconnect),
            (1927, "70100", Verdict::Reconnect),
            (1054, "42S22", Verdict::Fail(ErrorKind::Unsupported)),
            (1114, "HY000", Verdict::Refused),
            (9999, "HY000", Verdict::Refused),
        ];
        for (code, state, expected) in cases {
            assert_eq!(of_answer(code, state), expected, "{code}");
        }
    }

    #[test]
    fn what_the_server_refuses_was_not_done_but_where_it_stops_it_may_have_been() {
        let failure = |code| {
            let answer = mysql_async::ServerError { code, message: "m".to_owned(), state: "HY000".to_owned() };
            Failure::reported("db:3306", &ClientError::Server(answer))
        };
        assert!(!failure(4031).is_open() && !failure(1290).is_open() && !failure(1205).is_open());
        assert!([1053, 1105, 1180, 1927].iter().all(|code| failure(*code).is_open()));
        assert!(!Failure::read_only("db:3306").is_open() && Failure::timeout("db:3306", Duration::ZERO).is_open());
        assert!([1053, 1142, 1290].iter().all(|code| failure(*code).breaks()) && !failure(1205).breaks());
    }
}
