//! What the tests of stores do whose locks are the rows of a table, written once over the server's [`Database`].

use crate::Server;

pub mod peers;
pub mod shedlock;

/// A server whose database `locks` has the table of locks, in which the user `app` may do what it wants.
pub trait Database: Server {
    /// The result of statements of an administrator, a line for each row.
    fn sql(&self, statement: &str) -> String;

    /// Makes a table of these columns, with which `app` may do what it wants.
    fn create_table(&self, name: &str, columns: &str);

    /// Makes a schema in which `app` may make tables.
    fn create_schema(&self, name: &str);

    /// How many rows of a table meet this condition.
    fn count(&self, table: &str, condition: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {table} WHERE {condition}")).parse().unwrap()
    }
}
