//! The outcome of a statement.

use locks_runtime::store::MysqlAnswer;
use mysql_async::consts::ColumnType;
use mysql_async::{Column, Error, ServerError, Value};
use mysql_common::row::new_row;
use std::sync::Arc;

/// The outcome of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It has ended.
    Done(Result<Answer, Refusal>),
    /// Somebody has locked the table, for which it waits as long as the connection's setting says.
    Waits,
}

/// What a statement answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The columns of its rows, by name.
    pub columns: &'static [&'static str],
    /// A value for each.
    pub rows: Vec<Vec<Value>>,
    /// How many rows it has changed.
    pub affected: u64,
    /// What it gave to `LAST_INSERT_ID`.
    pub insert_id: u64,
}

/// An error that the server reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: u16,
    /// Its SQLSTATE.
    pub state: &'static str,
    /// What is wrong.
    pub message: &'static str,
}

const fn refusal(code: u16, state: &'static str, message: &'static str) -> Refusal {
    Refusal { code, state, message }
}

/// A row stays locked.
pub(super) const LOCKED: Refusal = refusal(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction");
/// It was chosen to be rolled back.
pub(super) const DEADLOCK: Refusal = refusal(1213, "40001", "Deadlock found when trying to get lock");
/// There is a row of this name.
pub(super) const DUPLICATE: Refusal = refusal(1062, "23000", "Duplicate entry for key 'PRIMARY'");
/// A sum is too large.
pub(super) const OUT_OF_RANGE: Refusal = refusal(1690, "22003", "BIGINT value is out of range");
/// The table is not there.
pub(super) const NO_TABLE: Refusal = refusal(1146, "42S02", "Table 'locks.distributed_locks' doesn't exist");
/// The user may not do this.
pub(super) const DENIED: Refusal =
    refusal(1142, "42000", "command denied to user 'app'@'%' for table `locks`.`distributed_locks`");
/// The user may not connect.
pub(super) const NO_ACCESS: Refusal = refusal(1045, "28000", "Access denied for user 'app'@'%'");
/// The server takes no writes.
pub(super) const READ_ONLY: Refusal =
    refusal(1290, "HY000", "The MariaDB server is running with the --read-only option");
/// There is no room.
pub(super) const FULL: Refusal = refusal(1114, "HY000", "The table 'distributed_locks' is full");
/// There is no room for another connection.
pub(super) const TOO_MANY: Refusal = refusal(1040, "08004", "Too many connections");
/// The server stops.
pub(super) const SHUTDOWN: Refusal = refusal(1053, "08S01", "Server shutdown in progress");
/// Somebody has ended the connection.
pub(super) const KILLED: Refusal = refusal(1927, "70100", "Connection was killed");
/// The commit went wrong in some way.
pub(super) const COMMIT: Refusal = refusal(1180, "HY000", "Got error 5 during COMMIT");

/// Whether the connection is over after an error.
pub(super) fn is_fatal(error: &Error) -> bool {
    match error {
        Error::Server(refusal) => [SHUTDOWN.code, KILLED.code].contains(&refusal.code),
        _ => true,
    }
}

impl From<Refusal> for Error {
    fn from(Refusal { code, state, message }: Refusal) -> Self {
        Self::Server(ServerError { code, message: message.to_owned(), state: state.to_owned() })
    }
}

impl From<Answer> for MysqlAnswer {
    fn from(answer: Answer) -> Self {
        let column = |name: &&str| Column::new(ColumnType::MYSQL_TYPE_BLOB).with_name(name.as_bytes());
        let columns: Arc<[Column]> = answer.columns.iter().map(column).collect();
        let rows = answer.rows.into_iter().map(|values| new_row(values, Arc::clone(&columns))).collect();
        Self { rows, affected: answer.affected, insert_id: answer.insert_id, is_open: false }
    }
}
