//! The database: its tables, and how a request reaches it.

use distributed_locks::store::{Mutex, World};
use distributed_locks::{Error, ErrorKind};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(5);

/// `AUTOINCREMENT`: a number is never used twice, so that it can serve as a fence. Not every commit waits for the disk: what
/// a power failure takes with it, nobody holds any more.
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS entries (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        session TEXT NOT NULL,
        number INTEGER NOT NULL,
        holder BLOB NOT NULL,
        extended_until INTEGER NOT NULL DEFAULT 0,
        has_left INTEGER NOT NULL DEFAULT 0,
        UNIQUE (session, number)
    );
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (key, position);
";

/// One database, opened at the first request. Cloning it makes another handle to the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    world: World,
    connection: Mutex<Option<Connection>>,
}

impl Database {
    pub(crate) fn new(path: &Path, world: &World) -> Self {
        Self(Arc::new(Inner { path: path.to_owned(), world: world.clone(), connection: Mutex::default() }))
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    /// Milliseconds since 1970: the clock that all processes of a machine share, and that goes on over a restart.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.0.world.wall_ms()).unwrap_or(i64::MAX)
    }

    /// One transaction, in which everything that has expired is gone. SQLite blocks, so it runs on a thread for that.
    pub(crate) async fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let database = self.clone();
        let done = self.0.world.block(move || database.transact(work).map_err(|cause| database.error(cause))).await;
        done.unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "a request to the database panicked")))
    }

    fn transact<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut connection = self.0.connection.lock();
        let connection = match &mut *connection {
            Some(open) => open,
            none => none.insert(open(&self.0.path)?),
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = self.now();
        transaction.execute("DELETE FROM sessions WHERE expires <= ?1", params![now])?;
        transaction.execute(
            "DELETE FROM entries WHERE extended_until <= ?1
               AND (has_left OR session NOT IN (SELECT id FROM sessions))",
            params![now],
        )?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn error(&self, cause: rusqlite::Error) -> Error {
        let path = self.0.path.display();
        let (kind, advice) = match cause.sqlite_error_code() {
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                (ErrorKind::Unauthorized, "give this process's user the right to write the file and its directory")
            }
            Some(ErrorCode::NotADatabase) => (ErrorKind::Unsupported, "it is no SQLite database; name another file"),
            _ => (ErrorKind::Unavailable, "it cannot be used now"),
        };
        Error::new(kind, format!("the database `{path}`: {advice}")).with_source(cause)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}
