//! Locks in a table of MariaDB or MySQL.
//!
//! A lock is a row: its holder, until when by the database's clock, and its waiters in order. Acquiring a free lock is one small
//! statement, and so is releasing one that nobody waited for. Everything else is decided here, by the row as it was read, and
//! written if the row is still that: no transaction is open in between, and no lock of the database is held. There is no `GET_LOCK`
//! and nothing else that lives in a connection: a hold outlives every connection.
//!
//! No statement waits for a row that another transaction has locked, nothing relies on what was set on a connection, and rows are
//! reached by their primary key alone. So a proxy or a pool may be in between, as long as it leads to the primary and leaves
//! `autocommit` on.
//!
//! The server notifies nobody. One task for each client looks what becomes of all that wait by it, some times a second, with one
//! statement for up to a thousand of them. What a client releases to another of its own waiters goes there directly.
//!
//! Readers and permits stay in the row's queue while they hold the lock, each until its own time. Several locks at one moment are
//! joined in one statement that writes all of their rows or none.
//!
//! A row that was not used for a day is deleted, where the user may.
//!
//! | event | what happens |
//! |---|---|
//! | this process crashes | its entries lapse: within the TTL of the last renewal |
//! | this process ends after a body with `hold_at_least` | the lock stays taken for the rest of that time, and no longer |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline has passed, and an entry that has lapsed is never renewed |
//! | a connection breaks, or is killed or closed by the server | the next request opens another; holds and positions in the queue stay |
//! | the server stops, or we are cut off from it | nothing is granted and nothing renewed; holds end at their deadline. A stopped server's clock runs on, so that all have lapsed when it is back after a TTL |
//! | the server crashes and recovers | what it acknowledged is there again, if `innodb_flush_log_at_trx_commit` is 1, its default |
//! | a replica is promoted | of the hosts in the URL the one that takes writes is used. What the former primary had not sent to it is lost, the last grants perhaps, and their locks granted twice, until the former holder's deadline. The fence still grows, as far as the servers' clocks agree |
//! | the former primary goes on taking writes | locks are granted twice, as all else is written twice: see to it that it is read-only before another is promoted |
//! | the database's clock jumps forward | holds lapse early: another may get the lock while the holder's next renewal is up to a third of a TTL away. The fence protects; let the clock be slewed, not set |
//! | the database's clock jumps back | nothing is free before its time by that clock: dead holders block for longer by as much |
//! | our own clock jumps | nothing: only the database's clock counts, in UTC, whatever the time zone of a session |
//! | a row is deleted by hand, or the table lost | the hold ends at the next renewal; fences go on, for they are at least the microseconds since 1970 |
//! | a row stays locked in another transaction | requests for that lock fail and are repeated, and a hold of it ends at its deadline, by that reason. All other locks go on |
//! | a right is revoked, the disk is full | requests fail by the server's reason, and holds end at their deadline unless it passes |
//!
//! An abandoned request may be carried out all the same, even long after. So an entry's number is never used again, everything is
//! conditional on it, or on the version of the row, and a session withdraws an entry that was left with a request unresolved again at
//! each of the next thirty renewals. What comes later still lapses after one TTL, as it is not renewed.

mod batch;
mod change;
mod clean;
mod client;
mod config;
mod connection;
mod dialled;
mod done;
mod enter;
mod entries;
mod error;
mod extend;
mod facts;
mod force_release;
mod found;
mod free;
mod hand_over;
mod inspect;
mod look;
mod parameters;
mod removed;
mod renew;
mod row;
mod seen;
mod servers;
mod session;
mod sessions;
mod settle;
mod shared;
mod shedlock;
mod shedlock_inspect;
mod shedlock_rows;
mod shedlock_sql;
mod sql;
mod table;
#[cfg(feature = "mysql-tls")]
mod tls;
mod view;
mod wait;
mod watch;
mod withdraw;

pub use config::{Config, Encryption, Layout};

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store, boxed};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use client::Client;
use session::MysqlSession;
use shedlock::ShedLockSession;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in MariaDB, 10.6 or newer, or MySQL, 8.0 or newer.
#[derive(Debug)]
pub struct Mysql(Arc<Client>);

impl Mysql {
    /// A store in the table that `config` names. Nothing is sent yet: the server need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what can be seen to be wrong without the server.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        Ok(Self(Arc::new(Client::new(config, world)?)))
    }
}

/// The statement that creates the table `name` in `database`, for databases where a program may not.
///
/// The program's user then needs `SELECT`, `INSERT` and `UPDATE` on it, and `DELETE` if old rows are to go.
///
/// # Errors
///
/// `InvalidUrl` if that cannot be a table's name.
pub fn migration(name: &str, database: &str) -> Result<String, Error> {
    Ok(table::Table::parse(name, database)?.creation())
}

impl Store for Mysql {
    fn capabilities(&self) -> Capabilities {
        let has_queue = self.0.config().layout == Layout::Own;
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
        Box::pin(async move {
            match client.config().layout {
                Layout::Own => Ok(boxed(Arc::new(MysqlSession::open(client, ttl).await?))),
                Layout::ShedLock => Ok(boxed(Arc::new(ShedLockSession::open(client, ttl).await?))),
            }
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { watch::inspect(&client, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.0), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { force_release(&client, &key, None).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let client = Arc::clone(&self.0);
        Box::pin(async move { force_release(&client, &key, Some(fence)).await })
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

async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    match client.config().layout {
        Layout::Own => force_release::force_release(client, key, fence).await,
        Layout::ShedLock => shedlock_inspect::force_release(client, key, fence).await,
    }
}
