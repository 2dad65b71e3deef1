//! Locks in a table of PostgreSQL.
//!
//! A lock is a row: its holder, until when by the database's clock, and its waiters in order. Acquiring a free lock is
//! one small statement; one that is taken needs another, which joins the queue. Releasing a lock that nobody waited for
//! is one small statement; otherwise one hands it to the first waiter and notifies that process, which looks whether
//! that is true, for anybody may send a notification. On a connection to one server process, what is asked for again is
//! prepared. There are no advisory locks and nothing else that lives in a connection: a hold outlives every connection.
//! A pool in transaction mode may be in between: nothing is set on its connections, and waiters look some times a second
//! instead of listening.
//!
//! Readers and permits stay in the row's queue while they hold the lock, each until its own time. Several locks at one moment are
//! joined in one statement, in the order of their names, and each row is handed over by itself: since the entry is in all queues
//! at once, any two such entries are in the same order in each, and never wait for each other.
//!
//! A row that was not used for a day is deleted, where the role may. A table without a schema is found by its name in any,
//! and created in the first of `search_path`; it is an error if there are several, for another role might use another.
//!
//! | event | what happens |
//! |---|---|
//! | this process crashes | its entries lapse: within the TTL of the last renewal |
//! | this process ends after a body with `hold_at_least` | the lock stays taken for the rest of that time, and no longer |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline has passed, and an entry that has lapsed is never renewed |
//! | a connection breaks, or its backend is ended | the next request opens another; holds and positions in the queue stay |
//! | the server stops, or we are cut off from it | nothing is granted and nothing renewed; holds end at their deadline. A stopped server's clock runs on, so that all have lapsed when it is back after a TTL |
//! | the server crashes and recovers | what it acknowledged is there again, unless `synchronous_commit` is off |
//! | another server is promoted | of the hosts in the URL the one that takes writes is used. With synchronous replication nothing is lost; otherwise the last grants may be, and their locks granted twice, until the former holder's deadline. The fence still grows |
//! | the database's clock jumps forward | holds lapse early: another may get the lock while the holder's next renewal is up to a third of a TTL away. The fence protects; let the clock be slewed, not set |
//! | the database's clock jumps back | nothing is free before its time by that clock: dead holders block for longer by as much |
//! | our own clock jumps | nothing: only the database's wall clock counts |
//! | a row is deleted by hand, or the table lost | the hold ends at the next renewal; fences go on, for they are at least the microseconds since 1970 |
//! | a row stays locked in another transaction | requests for that lock fail and are repeated, and a hold of it ends at its deadline, by that reason. All other locks go on |
//! | a right is revoked, the disk is full | requests fail by the server's reason, and holds end at their deadline unless it passes |
//! | somebody sends notifications of his own | a look at the database for each, at most some a second; nothing is granted or lost by them |
//!
//! An abandoned request is cancelled, but may be carried out all the same, even long after. So an entry's number is never
//! used again, everything is conditional on it, and a session withdraws an entry that was left with a request unresolved
//! again at each of the next thirty renewals. What comes later still lapses after one TTL, as it is not renewed.

mod backend;
mod batch;
mod clauses;
mod clean;
mod client;
mod condition;
mod config;
mod connection;
#[cfg(feature = "testing")]
mod dialled;
mod done;
mod done_sql;
mod enter;
mod entries;
mod error;
mod extend;
mod facts;
mod force_release;
mod form;
mod found;
mod free;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hand_over;
mod hand_over_sql;
mod inspect;
mod layout;
mod look;
mod notifications;
mod prepared;
mod removed;
mod renew;
mod row;
mod servers;
mod session;
mod settled;
mod shared;
mod shedlock;
mod sql;
mod table;
#[cfg(test)]
mod tests;
#[cfg(feature = "postgres-tls")]
mod tls;
mod wait;
mod watch;

pub use config::{Config, Encryption};
pub use layout::Layout;

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store, boxed};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use client::Client;
use session::PostgresSession;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in PostgreSQL, 12 or newer.
#[derive(Debug)]
pub struct Postgres(Arc<Client>);

impl Postgres {
    /// A store in the table that `config` names. Nothing is sent yet: the server need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without the server.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        Client::new(config, world).map(Self)
    }
}

/// The statement that creates the table, for databases where a program may not. `name` is `table` or `schema.table`.
///
/// The program's role then needs `SELECT`, `INSERT` and `UPDATE` on it, and `DELETE` if old rows are to go.
///
/// # Errors
///
/// `InvalidUrl` if that cannot be a table's name.
pub fn migration(name: &str) -> Result<String, Error> {
    Ok(table::Table::parse(name)?.creation())
}

impl Store for Postgres {
    fn capabilities(&self) -> Capabilities {
        let has_queue = self.0.config().layout.has_queue();
        Capabilities {
            fencing: has_queue,
            queue_order: has_queue,
            outlives_process: true,
            force_release: true,
            notices_removal: has_queue,
            shared: has_queue,
            permits: has_queue,
            multi_key: has_queue,
            once: has_queue,
            hand_over: has_queue,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { Ok(boxed(Arc::new(PostgresSession::open(client, ttl).await?))) })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { inspect::inspect(&client, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.0), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { force_release::force_release(&client, &key, None).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { force_release::force_release(&client, &key, Some(fence)).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { done::read(&client, &key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { done::forget(&client, &key).await })
    }

    fn native(&self) -> Native {
        let client = Arc::clone(&self.0);
        Native(NativeKind::ServerFacts(Arc::new(move || {
            let client = Arc::clone(&client);
            Box::pin(async move { facts::facts(&client).await })
        })))
    }
}
