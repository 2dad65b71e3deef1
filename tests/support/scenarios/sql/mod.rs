//! What the tests of stores do whose locks are the rows of a table, written once over the server's [`Database`].

use crate::{OpenTransaction, Server, eventually};

pub mod bad_input;
pub mod faults;
pub mod modes;
pub mod neighbours;
pub mod outages;
pub mod peers;
pub mod shedlock;
pub mod shown;

/// A server whose database `locks` has the table of locks, in which the user `app` may do what it wants.
pub trait Database: Server {
    /// How URLs of such a store begin.
    const SCHEME: &'static str;

    /// The result of statements of an administrator, a line for each row.
    fn sql(&self, statement: &str) -> String;

    /// Begins a transaction of an administrator with this statement, and leaves it open until the result is dropped.
    fn begin(&self, statement: &str) -> OpenTransaction;

    /// Ends all connections of `app`, and returns how many there were.
    fn end_connections(&self) -> usize;

    /// An orderly stop. Returns when it is gone.
    fn shut_down(&self);

    /// Another server that follows this one, and takes no writes.
    fn replica(&self) -> Self
    where
        Self: Sized;

    /// Waits until a replica has all that this server has written.
    fn await_replica(&self, replica: &Self);

    /// Makes a replica take writes.
    fn promote(&self);

    /// Makes a table of these columns, with which `app` may do what it wants.
    fn create_table(&self, name: &str, columns: &str);

    /// Makes a schema in which `app` may make tables.
    fn create_schema(&self, name: &str);

    /// Makes rows of so many free locks: `{prefix}1` and so on.
    fn insert_free(&self, prefix: &str, count: u32);

    /// Makes the row of a lock that another client holds for ever, with this record: an expression.
    fn insert_held(&self, key: &str, record: &str);

    /// How many statements have renewed something; or have changed rows, where they cannot be told apart.
    fn renewals(&self) -> u64;

    /// A URL of this user, with or without a password, as in `app:secret@`, and nothing else that a URL may have.
    fn url_of(&self, user: &str) -> String {
        format!("{}://{user}{}/locks", Self::SCHEME, self.endpoint())
    }

    /// How many rows of a table meet this condition.
    fn count(&self, table: &str, condition: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {table} WHERE {condition}")).parse().unwrap()
    }
}

/// Waits until so many more statements have renewed something.
pub async fn renewed(server: &impl Database, more: u64) {
    let before = server.renewals();
    eventually(async || match server.renewals() - before {
        renewals if renewals >= more => Ok(()),
        renewals => Err(renewals),
    })
    .await;
}
