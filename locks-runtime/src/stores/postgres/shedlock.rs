//! ShedLock's table, for Java services that use the same locks: <https://github.com/lukas-krecan/ShedLock>.
//!
//! `shedlock(name, lock_until, locked_at, locked_by)`, in UTC without a zone, as ShedLock's `usingDbTime()` writes. A lock is
//! free when `lock_until` has come. There is nothing else in it, so:
//!
//! - There is no queue: waiters look about ten times a second, and the first that finds the lock free acquires it. A Java
//!   service that tries in between has it first.
//! - There is no fence. A hold's number is the microsecond at which it began by the database's clock, rounded as the column
//!   rounds: it grows as long as that clock is not set back, and Java services show none.
//! - There is one holder at a time, and one row for each lock: no readers, no permits, and no several locks at one moment.
//! - There is no record: `locked_by` has our session, the host and the function's name.
//! - A name has at most 64 characters.
//! - A Java service must use `usingDbTime()`. Without it, and always with `JdbcLockProvider`, ShedLock writes the local time
//!   of its JVM and releases **by name alone**, in version 6 too: in a zone ahead of UTC it takes our locks, in one behind we
//!   take its. What can be seen of it is a `locked_at` in the future: such a lock is refused. With `usingDbTime()` it releases
//!   by name and `locked_by`, which is its host's name, and a job that overran its `lockAtMostFor` does no harm to ours.
//! - The table is never created and no row of it deleted: ShedLock does neither, and remembers which names it has inserted.
//!   The table's name is that of an unquoted one in Java: `SHEDLOCK` and `ShedLock` are `shedlock`.

use super::clauses::{lock_timeout, skipped};
use super::done_sql::DoneStatements;
use super::form::{Column, Form};
use super::hand_over_sql::HandOverStatements;
use super::sql::{LONGEST_RECORD, Statements};
use super::table::Table;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;

/// The longest name, in characters.
const LONGEST: usize = 64;

/// Each waiter takes itself to be the first, and so looks as often as is worth it: what Java releases, nothing announces.
const WAITERS: u32 = 1;

/// The database's time, as the table has it.
const NOW: &str = "timezone('utc', clock_timestamp())";

/// In place of a time: the hold is over, and must not be renewed by a request that comes late.
const LAPSING: &str = "'-1'";

/// What makes a row ours: `locked_by` is `locks SESSION NUMBER UNTIL HOST NAME`; an extended hold lasts until then, in
/// microseconds since 1970.
const OURS: &str = "starts_with(l.locked_by, 'locks ' || $2 || ' ')";
const NUMBER: &str = "split_part(l.locked_by, ' ', 3)";

/// The columns of the table.
pub(super) const FORM: Form = &[
    ("name", Column::is_text),
    ("lock_until", is_time),
    ("locked_at", is_time),
    ("locked_by", |column| match column.room() {
        Some(room) if room < SHORTEST_ROOM => Err(format!("it must have room for {SHORTEST_ROOM} characters")),
        _ => column.is_text(),
    }),
];

/// `locks SESSION NUMBER UNTIL `, and a little of who it is.
const SHORTEST_ROOM: usize = 100;

/// As much as ShedLock's documentation has, and what we need at most.
const ROOM: usize = 255;

fn is_time(column: &Column) -> Result<(), String> {
    column.is("timestamp without time zone").map_err(|_| {
        "ShedLock's `usingDbTime()` needs `timestamp` without a zone, or each service reads another time".to_owned()
    })?;
    if column.precision() < 3 {
        return Err("it rounds times to more than a millisecond, so that a lock may end before its time".to_owned());
    }
    Ok(())
}

/// The statements for ShedLock's table, with so much room in `locked_by`; parameters and answers are those of
/// [`Statements`].
pub(super) fn statements(table: &Table, room: Option<usize>) -> Statements {
    let (table, room) = (&table.quoted, room.map_or(ROOM, |room| room.min(ROOM)));
    let number = "(extract(epoch FROM l.locked_at) * 1000000)::bigint";
    let fence = format!("{number} AS fence");
    let held = format!("{OURS} AND l.lock_until > {NOW}");
    let seen = format!(
        "l.name::text AS name, CASE WHEN {OURS} THEN $2 END AS session, CASE WHEN {OURS} THEN {NUMBER}::bigint END AS number, {fence}, \
         left(l.locked_by, {ROOM}) AS holder, extract(epoch FROM l.lock_until - {NOW})::float8 AS seconds, \
         extract(epoch FROM l.locked_at - {NOW})::float8 AS ahead, NULL::bigint AS held"
    );
    let inspect = inspect(table, number);
    Statements {
        enter_free: String::new(),
        enter: enter(table, room, &seen),
        look: format!(
            "SELECT {seen}, {WAITERS}::bigint AS place FROM {table} AS l WHERE l.name = ANY($1) AND $3 IS NOT NULL"
        ),
        renew: renew(table, &format!("{} SKIP LOCKED", LOCKED.replace("TABLE", table)), &held),
        renew_waiting: renew(table, &waiting_for_rows(table, "$5"), &held),
        leave_unqueued: String::new(),
        enter_many: String::new(),
        leave_many: String::new(),
        leave: leave(table, &waiting_for_rows(table, "$6"), &held, "SELECT name FROM given WHERE false"),
        leave_unlocked: leave(
            table,
            &format!("{} SKIP LOCKED", LOCKED.replace("TABLE", table)),
            &held,
            &skipped("l.name::text", table),
        ),
        lapse: format!(
            "UPDATE {table} AS l SET (lock_until, locked_by) = (SELECT until, {}) \
             FROM (SELECT {NOW} + $4 * interval '1 microsecond' AS until, {} OFFSET 0) AS clock \
             WHERE l.name = ANY($1) AND {held} AND {NUMBER} = $3::text AND ($5 IS NULL OR true) RETURNING l.name",
            with_end(LAPSING, room),
            lock_timeout("$6")
        ),
        extend: format!(
            "UPDATE {table} AS l SET lock_until = greatest(l.lock_until, until), locked_by = {} \
             FROM (SELECT {NOW} + $4 * interval '1 microsecond' AS until, {} OFFSET 0) AS least \
             WHERE l.name = ANY($1) AND {held} AND {NUMBER} = $3::text RETURNING l.name",
            with_end("(extract(epoch FROM until) * 1000000)::bigint", room),
            lock_timeout("$5")
        ),
        force_release: format!(
            "UPDATE {table} AS l SET lock_until = {NOW} FROM (SELECT {} OFFSET 0) AS lock_timeout \
             WHERE l.name = ANY($1) AND l.lock_until > {NOW} AND (cardinality($3) = 0 OR {number} = ANY($3)) \
                 AND ($2 IS NULL OR true) RETURNING l.name",
            lock_timeout("$4")
        ),
        inspect_key: format!("{inspect} AND l.name = $1"),
        inspect_prefix: format!(
            "{inspect} AND starts_with(l.name, $1) AND l.name COLLATE \"C\" >= $2 ORDER BY l.name COLLATE \"C\""
        ),
        clean: String::new(),
        done: DoneStatements::default(),
        hand_over: HandOverStatements::default(),
    }
}

/// Who holds which lock, with this number of the hold.
fn inspect(table: &str, number: &str) -> String {
    format!(
        "SELECT l.name::text AS name, false AS more, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, \
         ARRAY[left(l.locked_by, {LONGEST_RECORD})] AS holders, ARRAY[{number}] AS fences, \
         ARRAY[CASE WHEN isfinite(l.lock_until) THEN (extract(epoch FROM l.lock_until) * 1000)::bigint END] AS ends, ARRAY[]::text[] AS waiting, \
         ARRAY[]::bigint[] AS waiting_ends FROM {table} AS l WHERE l.lock_until > {NOW}"
    )
}

/// Inserts the row of a lock that is new, and acquires one that is free.
fn enter(table: &str, room: usize, seen: &str) -> String {
    // Longer by a transaction's wait for the row, and the column may have milliseconds only and must not round down.
    let later = "now + $5 * interval '1 microsecond' + interval '1 millisecond'";
    format!(
        // The time is taken anew once the row is ours to change: a TTL counted from before the wait for it would be
        // shorter than the session's.
        "INSERT INTO {table} AS l (name, lock_until, locked_at, locked_by) SELECT $1[1], {later} + $8::interval, now, me \
         FROM (SELECT {NOW} AS now, left(concat('locks ', $2, ' ', $3, ' 0 ', $4), {room}) AS me, {} OFFSET 0) AS clock \
         ON CONFLICT (name) DO UPDATE SET (lock_until, locked_at, locked_by) = (SELECT \
             CASE WHEN free THEN {later} ELSE l.lock_until END, \
             CASE WHEN free THEN now ELSE l.locked_at END, \
             CASE WHEN free THEN EXCLUDED.locked_by ELSE l.locked_by END \
             FROM (SELECT {NOW} AS now OFFSET 0) AS clock \
             CROSS JOIN LATERAL (SELECT l.lock_until <= now AS free OFFSET 0) AS state) \
         RETURNING {seen}, CASE WHEN $6 AND ($7 IS NULL OR true) THEN {WAITERS}::bigint END AS place",
        lock_timeout("$8")
    )
}

/// The rows of the names `$1`, locked in one order.
const LOCKED: &str = "SELECT name FROM TABLE WHERE name = ANY($1) ORDER BY name FOR UPDATE";

fn waiting_for_rows(table: &str, limit: &str) -> String {
    format!(
        "SELECT t.name FROM {table} AS t, (SELECT {} OFFSET 0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name \
         FOR UPDATE OF t",
        lock_timeout(limit)
    )
}

fn renew(table: &str, mine: &str, held: &str) -> String {
    let fences = "ARRAY[(extract(epoch FROM l.locked_at) * 1000000)::bigint] AS fences";
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         renewed AS (UPDATE {table} AS l SET lock_until = greatest(l.lock_until, \
                 {NOW} + $4 * interval '1 microsecond' + interval '1 millisecond') FROM mine \
             WHERE l.name = mine.name AND {held} AND {NUMBER} = ANY($3::text[]) \
                 AND split_part(l.locked_by, ' ', 4) <> {LAPSING} \
             RETURNING l.name, ARRAY[{NUMBER}::bigint] AS held, {fences}) \
         SELECT false AS is_locked, name::text, held, fences, ARRAY[]::bigint[] AS waiting FROM renewed UNION ALL {}",
        skipped(
            &format!(
                "true, l.name::text, ARRAY[CASE WHEN {held} THEN {NUMBER}::bigint END], {fences}, ARRAY[]::bigint[]"
            ),
            table
        )
    )
}

/// An extended hold stays, if that is wanted, until the time that `locked_by` has.
fn leave(table: &str, mine: &str, held: &str, answer: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         given AS (UPDATE {table} AS l SET lock_until = greatest({NOW}, CASE WHEN $5 THEN \
                 timezone('utc', to_timestamp(split_part(l.locked_by, ' ', 4)::bigint / 1000000.0)) END) FROM mine \
             WHERE l.name = mine.name AND {held} AND {NUMBER} = ANY($3::text[]) AND ($4 IS NULL OR true) RETURNING l.name) \
         {answer}"
    )
}

/// `locked_by` with so much room, and another time until which the hold lasts.
fn with_end(until: &str, room: usize) -> String {
    format!("left(regexp_replace(l.locked_by, '^(locks [^ ]+ [^ ]+) -?[0-9]+', E'\\\\1 ' || {until}), {room})")
}

/// Whether a row can have this name.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    match name.chars().count() {
        0..=LONGEST => Ok(()),
        count => Err(Error::new(
            ErrorKind::InvalidKey,
            format!("the key has {count} characters and ShedLock's table takes {LONGEST}; hash the long part"),
        )),
    }
}

/// Refuses a hold that began so many seconds from now: its time is not the database's.
pub(super) fn check_time(seconds: f64, locked_by: &str) -> Result<(), Error> {
    if seconds < FUTURE {
        return Ok(());
    }
    let message = format!(
        "{locked_by:?} writes the local time of its JVM into ShedLock's table: it acquired this lock {:.1} hours from now. So it \
         takes locks that are held, or others take its own; build its `LockProvider` with `usingDbTime()`",
        seconds / 3600.0
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// No clock that is set at all is wrong by so many seconds, and no zone differs by less.
const FUTURE: f64 = 600.0;

/// Whose hold it is, in the few characters of `locked_by`.
pub(super) fn signature(holder: &Holder) -> String {
    format!("{} {}", holder.host, holder.name).replace(char::is_control, " ")
}

/// The holder of a row, by `locked_by`.
pub(super) fn holder(locked_by: Option<&str>) -> Holder {
    Holder::unknown_because(format!("locked by {:?} in ShedLock's table", locked_by.unwrap_or_default()))
}
