//! Locks in a table of PostgreSQL.
//!
//! A lock is a row that stays for ever: who holds it, until when by the database's clock, and who waits, in order. Taking
//! a free lock is one statement, and giving it back is one, which hands it to the first in line and tells that process.
//! No advisory locks and nothing else that lives in a connection: a hold outlives every connection, and a pool in
//! transaction mode may stand in between.
//!
//! | what happens | what follows |
//! |---|---|
//! | this process crashes | its entries lapse: within the TTL of the last renewal |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline is over at once, and what has lapsed is never renewed |
//! | a connection breaks, or its backend is ended | the next request makes another; holds and places in line stay |
//! | the server stops, or we are cut off from it | nothing is granted and nothing renewed; holds end at their deadline. A stopped server's clock runs on, so that all have lapsed when it is back after a TTL |
//! | the server crashes and recovers | what it acknowledged is there again, unless `synchronous_commit` is off |
//! | another server is promoted | of the hosts in the URL the one that takes writes is used. With synchronous replication nothing is lost; otherwise the last grants may be, and their locks granted twice, until the former holder's deadline. The fence still grows |
//! | the database's clock jumps forward | holds lapse early: another may get the lock while the holder's next renewal is up to a third of a TTL away. The fence protects; let the clock be slewed, not set |
//! | the database's clock jumps back | nothing is free before its time as told by that clock: dead holders block for longer by as much |
//! | our own clock jumps | nothing: nobody's wall clock counts but the database's |
//! | a row is deleted by hand, or the table lost | the hold is told so at the next renewal; fences go on, for they are at least the microseconds since 1970 |
//! | somebody keeps a row locked in a transaction | requests for that lock wait and fail; so does the renewal of a session that has an entry there |
//!
//! A request that was given up is cancelled, and may be carried out all the same, even long after. So an entry's number
//! is never used again, everything is conditional on it, and a session that gave one up takes it out again at each
//! renewal for two TTLs. What comes later still lapses after one TTL, as nobody renews it.

mod config;
mod dial;
mod enter;
mod hub;
mod lane;
mod session;
mod shedlock;
mod show;
mod slots;
mod sql;
mod status;
mod store;
mod table;
#[cfg(test)]
mod tests;
#[cfg(feature = "postgres-tls")]
mod tls;
mod turn;

pub use config::{Config, Layout, Tls};

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store};
use crate::values::error::Error;
use crate::values::key::Key;
use session::PostgresSession;
use std::sync::Arc;
use std::time::Duration;
use store::Inner;
use tokio::sync::mpsc;

/// A store of locks in PostgreSQL, 11 or newer.
#[derive(Debug)]
pub struct Postgres {
    store: Arc<Inner>,
}

impl Postgres {
    /// A store in the table that `config` names. Nothing is opened and nobody asked: the server need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without asking.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { store: Inner::new(config)? }))
    }
}

/// The statement that makes the table, for databases where a program may not. `name` is `table` or `schema.table`.
///
/// The program's role then needs `SELECT`, `INSERT` and `UPDATE` on it.
///
/// # Errors
///
/// `InvalidUrl` if that cannot be a table's name.
pub fn migration(name: &str) -> Result<String, Error> {
    Ok(table::Table::parse(name)?.creation())
}

impl Store for Arc<Postgres> {
    fn capabilities(&self) -> Capabilities {
        let is_own = self.store.config().layout == Layout::Own;
        Capabilities {
            fencing: is_own,
            queue_order: is_own,
            outlives_process: true,
            force_release: true,
            notices_removal: is_own,
            shared: false,
            permits: false,
            multi_key: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let session = PostgresSession::open(store, ttl).await?;
            Ok(Arc::new(session) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { show::inspect(&store, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(show::watch(Arc::clone(&self.store), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { show::force_release(&store, &key).await })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
