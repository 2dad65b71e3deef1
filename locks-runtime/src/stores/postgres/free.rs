//! The statements for locks that nobody else has to do with: acquired while they are free and nobody waits, released while
//! nobody waits.

use super::clauses::{MICROS, lock_timeout, seen};

/// Acquires a lock that is free and has no queue.
pub(super) fn enter(table: &str) -> String {
    // The clock is read anew once the row is ours to change.
    format!(
        "WITH free AS (INSERT INTO {table} AS l (name, fence, session, number, holder, locked_until) \
             SELECT $1, {MICROS}, $2, $3, $4, now + $5 * interval '1 microsecond' + $6::interval \
             FROM (SELECT clock_timestamp() AS now, {} OFFSET 0) AS clock \
             ON CONFLICT (name) DO UPDATE SET fence = greatest(l.fence + 1, {}), session = $2, number = $3, holder = $4, \
                 locked_until = clock_timestamp() + $5 * interval '1 microsecond', keep_until = NULL \
             WHERE l.locked_until <= clock_timestamp() AND l.queue = '[]' \
             RETURNING l.session, l.number, l.fence, NULL::text AS holder, \
                 (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds, \
                 NULL::bigint AS place, NULL::bigint AS held) \
         SELECT * FROM free UNION ALL SELECT {} FROM {table} AS l WHERE l.name = $1 AND NOT EXISTS (SELECT FROM free)",
        lock_timeout("$6"),
        MICROS.replace("now", "clock_timestamp()"),
        seen()
    )
}

/// Releases a lock that nobody waits for.
pub(super) fn leave(table: &str) -> String {
    format!(
        "UPDATE {table} AS l SET session = NULL, number = NULL, holder = NULL, \
             locked_until = least(l.locked_until, clock_timestamp()), keep_until = NULL \
         FROM (SELECT {} OFFSET 0) AS lock_timeout \
         WHERE l.name = $1 AND l.session = $2 AND l.number = $3 AND l.queue = '[]' RETURNING l.name",
        lock_timeout("$4")
    )
}

/// Acquires those locks that are free and have no queue. A row that another transaction has locked, or about to insert and
/// then does, is left alone.
pub(super) fn enter_many(table: &str) -> String {
    format!(
        "WITH wanted AS MATERIALIZED (SELECT name, number, holder \
             FROM unnest($1::text[], $3::bigint[], $4::text[]) AS wanted(name, number, holder)), \
         mine AS MATERIALIZED (SELECT name FROM {table} \
             WHERE name = ANY($1) AND locked_until <= clock_timestamp() AND queue = '[]' ORDER BY name COLLATE \"C\" FOR UPDATE SKIP LOCKED), \
         taken AS (UPDATE {table} AS l SET fence = greatest(l.fence + 1, {}), session = $2, number = wanted.number, \
                 holder = wanted.holder, locked_until = clock_timestamp() + $5 * interval '1 microsecond', keep_until = NULL \
             FROM mine, wanted WHERE l.name = mine.name AND wanted.name = mine.name RETURNING l.name, l.fence), \
         added AS (INSERT INTO {table} AS l (name, fence, session, number, holder, locked_until) \
             SELECT wanted.name, {MICROS}, $2, wanted.number, wanted.holder, \
                 now + $5 * interval '1 microsecond' + $6::interval \
             FROM wanted, (SELECT clock_timestamp() AS now, {} OFFSET 0) AS clock \
             WHERE NOT EXISTS (SELECT FROM {table} AS known WHERE known.name = wanted.name) \
             ORDER BY wanted.name COLLATE \"C\" ON CONFLICT (name) DO NOTHING RETURNING l.name, l.fence) \
         SELECT name, fence FROM taken UNION ALL SELECT name, fence FROM added",
        MICROS.replace("now", "clock_timestamp()"),
        lock_timeout("$6")
    )
}

/// Releases those locks for which nobody waits.
pub(super) fn leave_many(table: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED (SELECT t.name FROM unnest($1::text[], $3::bigint[]) AS leaving(name, number), {table} AS t \
             WHERE t.name = leaving.name AND t.session = $2 AND t.number = leaving.number AND t.queue = '[]' \
             ORDER BY t.name COLLATE \"C\" FOR UPDATE OF t SKIP LOCKED) \
         UPDATE {table} AS l SET session = NULL, number = NULL, holder = NULL, \
             locked_until = least(l.locked_until, clock_timestamp()), keep_until = NULL \
         FROM mine WHERE l.name = mine.name RETURNING l.name, l.fence"
    )
}
