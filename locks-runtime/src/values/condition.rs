//! A condition for a caller's own transaction in PostgreSQL.

use std::fmt;

/// A condition for the caller's own transaction in the database that the lock is in: from its statement to its end the transaction
/// keeps everybody from acquiring the lock, and it can only be committed while this very hold has it, whatever any clock shows.
///
/// Of both forms use one. They need no driver of this crate's, and ask for the same:
///
/// - [`assertion`](PostgresCondition::assertion) has no parameters, and *fails* if the lock is not held: then the transaction can
///   only be rolled back, and no answer can be forgotten.
/// - [`sql`](PostgresCondition::sql) is a query with four parameters, for drivers that prepare: it returns one row if the lock is
///   held, and none if it is not. Roll back then.
///
/// The transaction must be in the same database, and its role needs `SELECT` on the table of the locks, and `UPDATE` on one of its
/// columns, as PostgreSQL asks for it wherever a row is locked; `GRANT UPDATE (holder)` is the least. While the transaction is open
/// the row of the lock is locked (`FOR SHARE`): who wants the lock waits for its end, and renewals of this hold do not get
/// through either. So make it the **first** statement of a transaction that takes less than half a TTL, and the **last** before
/// the `COMMIT` of a longer one, under `READ COMMITTED`. Never inside a savepoint: to roll that back unlocks the row.
///
/// # Examples
///
/// ```no_run
/// # use locks_runtime as distributed_locks;
/// # async fn transfer(locks: &distributed_locks::Locks, database: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let guard = locks.lock("/account/7").acquire().await?;
/// let transaction = database.transaction().await?;
/// transaction.batch_execute(guard.postgres_condition()?.assertion()).await?;
/// transaction.execute("UPDATE account SET balance = 0 WHERE id = 7", &[]).await?;
/// transaction.commit().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresCondition {
    pub(crate) sql: String,
    pub(crate) assertion: String,
    pub(crate) names: Vec<String>,
    pub(crate) session: String,
    pub(crate) number: i64,
    pub(crate) fences: Vec<i64>,
}

impl PostgresCondition {
    /// The `SQLSTATE` with which [`assertion`](PostgresCondition::assertion) fails if the lock is not held any more. Other
    /// errors say nothing about the lock.
    pub const NOT_HELD: &str = "LOCKS";

    /// A statement without parameters that fails with [`NOT_HELD`](PostgresCondition::NOT_HELD) if the lock is not held. It has its
    /// values in it, quoted, and is for `batch_execute`, `sqlx::raw_sql` and their like. It is a `DO` block of PL/pgSQL, which
    /// every database has unless somebody removed it.
    #[must_use]
    pub fn assertion(&self) -> &str {
        &self.assertion
    }

    /// A query that returns one row, `held`, if the lock is held, and none otherwise. Its parameters are, in this order,
    /// [`names`](PostgresCondition::names), [`session`](PostgresCondition::session), [`number`](PostgresCondition::number) and
    /// [`fences`](PostgresCondition::fences). Its text is the same for all locks of one table.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// `$1`, `text[]`: the names of the rows, one for each lock.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// `$2`, `text`: the session that holds them.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// `$3`, `bigint`: the number of the hold in its session.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// `$4`, `bigint[]`: the fences, in the order of the names.
    #[must_use]
    pub fn fences(&self) -> &[i64] {
        &self.fences
    }
}

impl fmt::Debug for PostgresCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCondition")
            .field("names", &self.names)
            .field("fences", &self.fences)
            .finish_non_exhaustive()
    }
}
