//! ShedLock's table, for Java services that use the same locks: <https://github.com/lukas-krecan/ShedLock>.
//!
//! `shedlock(name, lock_until, locked_at, locked_by)`, in UTC without a zone, as ShedLock's `usingDbTime()` writes. A lock is
//! free when `lock_until` has come. There is nothing else in it, so:
//!
//! - There is no queue: waiters poll a few times a second, and the first that finds the lock free acquires it.
//! - There is no fence. A hold's number is the microsecond at which it began by the database's clock, rounded as the column
//!   rounds: it grows as long as that clock is not set back, and Java services show none.
//! - There is no record: `locked_by` has our session, the host and the function's name.
//! - A name has at most 64 characters.
//! - ShedLock releases by name and `locked_by`, and before version 5 by name alone: a Java job that overran its
//!   `lockAtMostFor` then releases our lock.

use super::sql::Statements;
use super::table::Table;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;

/// The longest name, in characters.
const LONGEST: usize = 64;

/// The database's time, as the table has it.
const NOW: &str = "timezone('utc', clock_timestamp())";

/// What makes a row ours: `locked_by` is `locks SESSION NUMBER UNTIL HOST NAME`; an extended hold lasts until then, in
/// microseconds since 1970.
const OURS: &str = "starts_with(l.locked_by, 'locks ' || $2 || ' ')";
const NUMBER: &str = "split_part(l.locked_by, ' ', 3)";

/// The statements for ShedLock's table; parameters and answers are those of [`Statements`].
pub(super) fn statements(table: &Table) -> Statements {
    let (creation, table) = (table.shedlock_creation(), &table.quoted);
    let fence = "(extract(epoch FROM l.locked_at) * 1000000)::bigint AS fence";
    let held = format!("{OURS} AND l.lock_until > {NOW}");
    // The position is a guess at how many others wait, which the table does not show.
    let seen = format!(
        "CASE WHEN {OURS} THEN $2 END AS session, CASE WHEN {OURS} THEN {NUMBER}::bigint END AS number, {fence}, \
         l.locked_by AS holder, extract(epoch FROM l.lock_until - {NOW})::float8 AS seconds"
    );
    let inspect = format!(
        "SELECT l.name::text AS name, {fence}, true AS held, l.locked_by::text AS holder, ARRAY[]::text[] AS waiting \
         FROM {table} AS l WHERE l.lock_until > {NOW}"
    );
    Statements {
        creation,
        enter: format!(
            // The column may have milliseconds only, and must not round down. The time is taken anew once the row is ours
            // to change: a TTL counted from before the wait for it would be shorter than the session's.
            "INSERT INTO {table} AS l (name, lock_until, locked_at, locked_by) \
             SELECT $1, now + $5 * interval '1 microsecond' + interval '1 millisecond', now, me \
             FROM (SELECT {NOW} AS now, left(concat('locks ', $2, ' ', $3, ' 0 ', $4), 255) AS me OFFSET 0) AS clock \
             ON CONFLICT (name) DO UPDATE SET (lock_until, locked_at, locked_by) = (SELECT \
                 CASE WHEN free THEN now + $5 * interval '1 microsecond' + interval '1 millisecond' ELSE l.lock_until END, \
                 CASE WHEN free THEN now ELSE l.locked_at END, \
                 CASE WHEN free THEN EXCLUDED.locked_by ELSE l.locked_by END \
                 FROM (SELECT {NOW} AS now OFFSET 0) AS clock \
                 CROSS JOIN LATERAL (SELECT l.lock_until <= now AS free OFFSET 0) AS state) \
             RETURNING {seen}, CASE WHEN $6 THEN 4::bigint END AS place"
        ),
        look: format!("SELECT {seen}, 4::bigint AS place FROM {table} AS l WHERE l.name = $1 AND $3 IS NOT NULL"),
        renew: format!(
            "UPDATE {table} AS l SET lock_until = greatest(l.lock_until, \
                 {NOW} + $4 * interval '1 microsecond' + interval '1 millisecond') \
             WHERE l.name = ANY($1) AND {held} AND {NUMBER} = ANY($3::text[]) \
             RETURNING {NUMBER}::bigint AS held, {fence}, ARRAY[]::bigint[] AS waiting"
        ),
        leave: format!(
            "UPDATE {table} AS l SET lock_until = greatest({NOW}, CASE WHEN $5 THEN \
                 timezone('utc', to_timestamp(split_part(l.locked_by, ' ', 4)::bigint / 1000000.0)) END) \
             WHERE l.name = ANY($1) AND {held} AND {NUMBER} = ANY($3::text[]) AND $4 IS NOT NULL RETURNING l.name"
        ),
        extend: format!(
            "UPDATE {table} AS l SET lock_until = greatest(l.lock_until, until), \
                 locked_by = regexp_replace(l.locked_by, '^(locks [^ ]+ [^ ]+) [0-9]+', \
                     '\\1 ' || (extract(epoch FROM until) * 1000000)::bigint) \
             FROM (SELECT {NOW} + $4 * interval '1 microsecond' AS until OFFSET 0) AS least \
             WHERE l.name = $1 AND {held} AND {NUMBER} = $3::text RETURNING l.name"
        ),
        force_release: format!(
            "UPDATE {table} AS l SET lock_until = {NOW} WHERE l.name = $1 AND l.lock_until > {NOW} AND $2 IS NOT NULL \
             RETURNING l.name"
        ),
        inspect_key: format!("{inspect} AND l.name = $1"),
        inspect_prefix: format!("{inspect} AND starts_with(l.name, $1) ORDER BY l.name COLLATE \"C\""),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    match name.chars().count() {
        0..=LONGEST => Ok(()),
        count => Err(Error::new(
            ErrorKind::InvalidKey,
            format!("the key has {count} characters and ShedLock's table takes {LONGEST}; hash the long part"),
        )),
    }
}

/// Whose hold it is, in the few characters of `locked_by`.
pub(super) fn signature(holder: &Holder) -> String {
    format!("{} {}", holder.host, holder.name).replace(char::is_control, " ")
}

/// The holder of a row, by `locked_by`.
pub(super) fn holder(locked_by: Option<&str>) -> Holder {
    Holder::unknown_because(format!("locked by {:?} in ShedLock's table", locked_by.unwrap_or_default()))
}

/// table, quoted → the type of `lock_until`, if there is such a table.
pub(super) const COLUMN_TYPE: &str = "SELECT format_type(atttypid, NULL) AS type FROM pg_attribute \
    WHERE attrelid = to_regclass($1) AND attname = 'lock_until'";

/// Refuses a table whose times have a zone: what they mean then depends on each client's own.
pub(super) fn check_column_type(name: &str) -> Result<(), Error> {
    if name == "timestamp without time zone" {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "`lock_until` is a {name:?} here; ShedLock's `usingDbTime()` needs `timestamp` without a zone, or each service \
             reads another time"
        ),
    ))
}
