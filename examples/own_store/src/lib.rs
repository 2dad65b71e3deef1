//! Locks in a SQLite database: for the processes of one machine that share a database file anyway.
//!
//! An example of a store in a crate of its own. [`register`] makes its URLs known, and everything else works as with the
//! built-in stores:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), distributed_locks::Error> {
//! # let file = tempfile::NamedTempFile::new().unwrap();
//! # let path = file.path().display();
//! own_store::register()?;
//! distributed_locks::init(format!("sqlite://{path}?ttl=10s"))?;
//! # Ok(())
//! # }
//! ```
//!
//! | what happens | what follows |
//! |---|---|
//! | a process crashes | its sessions expire within the TTL, and its entries with them |
//! | a process is paused for longer than the TTL | as after a crash; on resume the hold is lost at once |
//! | the database is locked by a long transaction | requests fail after five seconds and are retried; holds end at their deadline |
//! | the wall clock jumps forward | sessions expire early: two may hold a lock for up to a TTL; the fence protects |
//! | the wall clock jumps back | dead holders block for longer by as much |
//! | the file is deleted | every lock is forgotten; holders lose theirs at the next renewal |
//!
//! An entry is a row, in the order of arrival; the first row of a key holds the lock, and its number is the fence, for
//! numbers are never used twice. Waiters of all processes poll, since SQLite cannot notify.

mod database;
mod session;

use database::Database;
use distributed_locks::store::{
    Capabilities, Change, Defaults, Line, Native, Pending, Scope, Session, Store, StoreUrl, World, boxed, poll,
    register_scheme,
};
use distributed_locks::{Error, Holder, Key};
use rusqlite::params;
use session::SqliteSession;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Makes `sqlite:` URLs lead to this store. Call it once, before `init`.
///
/// # Errors
///
/// `AlreadyConfigured` if it was called before.
pub fn register() -> Result<(), Error> {
    register_scheme("sqlite", |url: &mut StoreUrl, _: &Defaults, world: &World| {
        if !url.path.starts_with('/') || !url.hosts.is_empty() {
            let message = "a `sqlite:` URL names a file by its whole path: `sqlite:///var/lib/app/locks.db`";
            return Err(Error::new(distributed_locks::ErrorKind::InvalidUrl, message));
        }
        Ok(Arc::new(Sqlite::new(&url.path, world)))
    })
}

/// A store of locks in one database file.
#[derive(Clone, Debug)]
pub struct Sqlite(Database);

impl Sqlite {
    /// The store in the database at `path`. Nothing is opened yet.
    pub fn new(path: impl AsRef<Path>, world: &World) -> Self {
        Self(Database::new(path.as_ref(), world))
    }
}

impl Store for Sqlite {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.fencing, can.queue_order, can.outlives_process) = (true, true, true);
        (can.force_release, can.notices_removal) = (true, true);
        can
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let database = self.0.clone();
        Box::pin(async move { Ok(boxed(Arc::new(SqliteSession::open(database, ttl).await?))) })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        Box::pin(lines(self.0.clone(), scope))
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        let database = self.0.clone();
        Box::pin(async move {
            let world = database.world().clone();
            poll::watch(&world, LOOK_EVERY, move || look(database.clone(), scope.clone())).await
        })
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let database = self.0.clone();
        Box::pin(async move {
            let delete = "DELETE FROM entries WHERE position = (SELECT min(position) FROM entries WHERE key = ?1)";
            database.request(move |request| request.execute(delete, params![key.as_str()])).await
        })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}

/// A row of a queue: the key, the position and the holder's record.
type Row = (Key, i64, Holder);

/// The rows of all locks in `scope`, by key and position.
async fn rows(database: Database, scope: Scope) -> Result<Vec<Row>, Error> {
    let all = database.request(|request| {
        let mut select = request.prepare("SELECT key, position, holder FROM entries ORDER BY key, position")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<Result<Vec<(String, i64, Vec<u8>)>, _>>()
    });
    let known = all.await?.into_iter().filter(|(key, ..)| scope.contains(key));
    known.map(|(key, position, holder)| Ok((Key::new(key)?, position, Holder::from_json(&holder)))).collect()
}

async fn lines(database: Database, scope: Scope) -> Result<Vec<Line>, Error> {
    let mut queues = BTreeMap::<Key, Vec<Holder>>::new();
    for (key, _, holder) in rows(database, scope).await? {
        queues.entry(key).or_default().push(holder);
    }
    let line = |(key, mut holders): (Key, Vec<Holder>)| {
        let waiters = holders.split_off(1);
        Line::new(key, holders, waiters)
    };
    Ok(queues.into_iter().map(line).collect())
}

async fn look(database: Database, scope: Scope) -> Result<poll::Look<i64>, Error> {
    let mut look = poll::Look::<i64>::new();
    for (key, position, holder) in rows(database, scope).await? {
        let seen = look.entry(key).or_default();
        // The first of a line holds the lock.
        if seen.holds.is_empty() {
            seen.holds.push((position, holder));
        } else {
            seen.waiters.push(holder);
        }
    }
    Ok(look)
}
