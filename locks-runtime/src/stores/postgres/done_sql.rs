//! The statements about what was done once.

use super::clauses::locked;
use super::table::Table;

/// The statements for one table; empty where there are none.
#[derive(Debug, Default)]
pub(super) struct DoneStatements {
    /// names, session, number, name of the record's row, record, lock_timeout → a row if the entry holds the lock.
    pub(super) mark: String,
    /// name of the record's row → the record.
    pub(super) read: String,
    /// name of the record's row, lock_timeout → a row if there was a record.
    pub(super) delete: String,
    /// The same, for a role that may not delete.
    pub(super) empty: String,
}

impl DoneStatements {
    pub(super) fn of(table: &Table) -> Self {
        let table = &table.quoted;
        let until = "timestamptz '9999-12-31 00:00:00+00'";
        Self {
            mark: format!(
                "WITH mine AS MATERIALIZED ({}) \
                 INSERT INTO {table} AS l (name, fence, holder, locked_until) \
                     SELECT $4, fence, $5, {until} FROM mine WHERE taken AND session = $2 AND number = $3 \
                 ON CONFLICT (name) DO UPDATE SET fence = EXCLUDED.fence, holder = EXCLUDED.holder, locked_until = {until} \
                 RETURNING l.name",
                locked(table, "$6")
            ),
            read: format!("SELECT holder FROM {table} WHERE name = $1 AND holder IS NOT NULL"),
            delete: format!(
                "DELETE FROM {table} WHERE name = $1 AND holder IS NOT NULL \
                 AND (SELECT set_config('lock_timeout', $2, true)) IS NOT NULL RETURNING name"
            ),
            empty: format!(
                "UPDATE {table} SET holder = NULL, locked_until = clock_timestamp() WHERE name = $1 AND holder IS NOT NULL \
                 AND (SELECT set_config('lock_timeout', $2, true)) IS NOT NULL RETURNING name"
            ),
        }
    }
}
