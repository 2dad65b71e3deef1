//! A condition for the caller's own transaction in PostgreSQL.

use super::guard::Guard;
use crate::contract::NativeKind;
use crate::values::condition::PostgresCondition;
use crate::values::error::{Error, ErrorKind};

impl Guard {
    /// A condition for the caller's own transaction in the database that the lock is in: the transaction commits only while the
    /// lock is held, whatever any clock says. See [`PostgresCondition`] for how. Such a hold is never handed off inside the
    /// process. Needs the feature `postgres`.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the lock is not in PostgreSQL, or in `ShedLock`'s table, which has no fence; otherwise as
    /// [`check`](Guard::check).
    ///
    /// # Examples
    ///
    /// A query with parameters instead of the [assertion](PostgresCondition::assertion):
    ///
    /// ```no_run
    /// # use locks_runtime as distributed_locks;
    /// # async fn close(guard: &distributed_locks::Guard, database: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let held = guard.postgres_condition()?;
    /// let transaction = database.transaction().await?;
    /// let (names, session, number, fences) = (held.names(), held.session(), held.number(), held.fences());
    /// if transaction.query_opt(held.sql(), &[&names, &session, &number, &fences]).await?.is_none() {
    ///     return Err("another process has the lock".into()); // dropped, the transaction is rolled back
    /// }
    /// transaction.execute("UPDATE account SET open = false WHERE id = 7", &[]).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
    pub fn postgres_condition(&self) -> Result<PostgresCondition, Error> {
        self.check()?;
        match self.hold().bind()?.0 {
            NativeKind::PostgresCondition(condition) => Ok(*condition),
            _ => {
                let message =
                    "this lock has no row with a fence in PostgreSQL; compare `guard.fence()` in a column of your own";
                Err(Error::new(ErrorKind::Unsupported, message).with_key(self.key()))
            }
        }
    }
}
