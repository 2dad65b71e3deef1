//! What a connection to MariaDB or MySQL is, where statements are sent: the client crate brings sockets of its own, so that a test has to
//! put something in the place of the whole of it.

use mysql_async::Row;
#[cfg(feature = "testing")]
use {
    mysql_async::{Error, Value},
    std::{fmt, pin::Pin, sync::Arc},
};

/// What a statement answers.
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "tests make such answers"))]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MysqlAnswer {
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many rows it has changed.
    pub affected: u64,
    /// What it gave to `LAST_INSERT_ID`.
    pub insert_id: u64,
    /// Whether a transaction is open.
    pub is_open: bool,
}

/// A request to MariaDB or MySQL, and its answer.
#[cfg(feature = "testing")]
pub type MysqlAsked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A connection to MariaDB or MySQL. Dropped it is closed, also while it waits for an answer.
#[cfg(feature = "testing")]
pub trait MysqlConnection: Send {
    /// Carries out a statement.
    fn execute(&mut self, text: &str, values: &[Value]) -> MysqlAsked<'_, MysqlAnswer>;

    /// Whether the connection is still there.
    fn ping(&mut self) -> MysqlAsked<'_, ()>;
}

/// A connection that is being made.
#[cfg(feature = "testing")]
pub type MysqlDialled = MysqlAsked<'static, Box<dyn MysqlConnection>>;

/// Makes a connection to a server, given its host and port.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub struct MysqlDial(pub Arc<dyn Fn(&str) -> MysqlDialled + Send + Sync>);

#[cfg(feature = "testing")]
impl fmt::Debug for MysqlDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlDial").finish_non_exhaustive()
    }
}
