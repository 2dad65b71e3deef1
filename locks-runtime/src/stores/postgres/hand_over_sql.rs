//! The statements that hand a hold over.

use super::clauses::{MICROS, locked, notice_to_wait};
use super::table::Table;

/// The statements for one table; empty where there are none. A ticket's session is its secret, and its number 0.
#[derive(Debug, Default)]
pub(super) struct HandOverStatements {
    /// names, session, number, the ticket's session, TTL in µs, record, channel or NULL, lock_timeout → a row if the ticket holds the
    /// lock, by this statement or an earlier one.
    pub(super) detach: String,
    /// names, the ticket's session, session, number, record, TTL in µs, channel or NULL, lock_timeout → the fence if the entry holds
    /// the lock, by this statement or an earlier one. That may end sooner than the first waiter knows.
    pub(super) adopt: String,
}

impl HandOverStatements {
    pub(super) fn of(table: &Table) -> Self {
        let table = &table.quoted;
        Self {
            detach: format!(
                "WITH mine AS MATERIALIZED ({}), \
                 detached AS (UPDATE {table} AS l SET session = $4, number = 0, holder = $6, keep_until = NULL, \
                     locked_until = CASE WHEN l.session = $4 THEN l.locked_until \
                                         ELSE clock_timestamp() + $5 * interval '1 microsecond' END \
                     FROM mine WHERE l.name = mine.name AND taken \
                         AND (mine.session = $2 AND mine.number = $3 OR mine.session = $4) \
                     RETURNING l.name, l.session, l.queue, l.locked_until) \
                 SELECT name, (SELECT pg_notify($7, payload) FROM ({}) AS notice WHERE $7 IS NOT NULL) AS notice FROM detached",
                locked(table, "$8"),
                notice_to_wait("true"),
            ),
            adopt: format!(
                "WITH mine AS MATERIALIZED ({}), \
                 adopted AS (UPDATE {table} AS l SET (fence, session, number, holder, locked_until) = (SELECT \
                         CASE WHEN l.session = $2 THEN greatest(l.fence + 1, {MICROS}) ELSE l.fence END, $3, $4, $5, \
                         CASE WHEN l.session = $2 THEN now + $6 * interval '1 microsecond' ELSE l.locked_until END \
                     FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) \
                     FROM mine WHERE l.name = mine.name AND taken \
                         AND (mine.session = $2 OR mine.session = $3 AND mine.number = $4) \
                     RETURNING l.fence, l.session, l.queue, l.locked_until) \
                 SELECT fence, (SELECT pg_notify($7, payload) FROM ({}) AS notice WHERE $7 IS NOT NULL) AS notice FROM adopted",
                locked(table, "$8"),
                notice_to_wait("true"),
            ),
        }
    }
}
