//! The statements for ShedLock's table. As those for our own, none waits for a row but the one that inserts it.
//!
//! Times are in UTC without a zone, as ShedLock's `usingDbTime()` writes them: `UTC_TIMESTAMP(3)` into a `TIMESTAMP(3)`, which MySQL takes
//! for a time in the session's time zone, when it is written and when it is read. So all services must have sessions of one time zone,
//! and a server whose zone has a gap in spring refuses an hour of UTC. A zone without summer time, or `DATETIME(3)`, is free of both.

use super::sql::WRITES;

/// The server's time, as the table has it.
const UTC: &str = "UTC_TIMESTAMP(6)";

/// In place of a time: the hold is over, and must not be renewed by a request that comes late.
pub(super) const LAPSING: &str = "-1";

/// The microseconds since 1970 of a time in the table.
fn micros(time: &str) -> String {
    format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {time})")
}

/// So much later; the column may have milliseconds only and must not round down.
const LATER: &str = "TIMESTAMPADD(MICROSECOND, ? + 1000, UTC_TIMESTAMP(6))";

/// The moment of the grant in milliseconds, and its microseconds as the statement's `insert_id`: what a hold is known by.
fn granted() -> String {
    let milliseconds = format!("{} DIV 1000 * 1000", micros(UTC));
    format!("TIMESTAMPADD(MICROSECOND, LAST_INSERT_ID({milliseconds}), '1970-01-01 00:00:00.000')")
}

/// What makes a row ours: `locked_by` is `locks SESSION NUMBER UNTIL HOST NAME`; an extended hold lasts until then, in
/// microseconds since 1970.
const OURS: &str = "SUBSTRING_INDEX(l.locked_by, ' ', 2) = CONCAT('locks ', ?)";
const NUMBER: &str = "SUBSTRING_INDEX(SUBSTRING_INDEX(l.locked_by, ' ', 3), ' ', -1)";
const END: &str = "SUBSTRING_INDEX(SUBSTRING_INDEX(l.locked_by, ' ', 4), ' ', -1)";

/// The end as a number, of a row that is ours.
const END_AS_NUMBER: &str = "CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(l.locked_by, ' ', 4), ' ', -1) AS SIGNED)";

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// name, TTL, `locked_by`: acquires a lock that is free.
    Acquire,
    /// name, TTL, `locked_by`: inserts the row of a lock that is new.
    Insert,
    /// names: their rows.
    Read,
    /// names, TTL, session, numbers as texts: renews what it holds.
    Renew,
    /// name, whether what is extended stays, session, number as a text: releases.
    Leave,
    /// name, time, the beginning of `locked_by`, time, its end, session, number: holds it for so long at least.
    Extend,
    /// name, time, `locked_by`, session, number: lets it end then.
    Lapse,
    /// name, the moment of the grant or NULL: releases by force.
    Force,
    /// The name before: the rows of a page.
    Page,
}

/// How many rows one page has.
pub(super) const PAGE: usize = 2_000;

pub(super) fn text(kind: Kind, table: &str, rows: usize, room: usize) -> String {
    let names = format!("name IN ({})", vec!["?"; rows].join(", "));
    let mine = format!(
        "UPDATE (SELECT name FROM {table} FORCE INDEX (PRIMARY) WHERE {names} FOR UPDATE SKIP LOCKED) AS mine \
         STRAIGHT_JOIN {table} AS l FORCE INDEX (PRIMARY) ON l.name = mine.name"
    );
    let held = format!("{OURS} AND {NUMBER} = ? AND l.lock_until > {UTC} AND {WRITES}");
    match kind {
        Kind::Acquire => format!(
            "{mine} SET l.lock_until = {LATER}, l.locked_at = {}, l.locked_by = ? WHERE l.lock_until <= {UTC} AND {WRITES}",
            granted()
        ),
        Kind::Insert => format!(
            "INSERT INTO {table} (name, lock_until, locked_at, locked_by) SELECT ?, {LATER}, {}, ? FROM DUAL WHERE {WRITES}",
            granted()
        ),
        Kind::Read => format!("{} WHERE l.{names}", select(table)),
        Kind::Renew => format!(
            "{mine} SET l.lock_until = GREATEST(l.lock_until, {LATER}) WHERE {OURS} AND {NUMBER} IN ({}) \
             AND l.lock_until > {UTC} AND {END} <> '{LAPSING}' AND {WRITES}",
            vec!["?"; rows].join(", ")
        ),
        Kind::Leave => {
            let kept = format!("TIMESTAMPADD(MICROSECOND, {END_AS_NUMBER}, '1970-01-01 00:00:00.000')");
            format!(
                "{mine} SET l.lock_until = IF(? AND {END_AS_NUMBER} > 0, GREATEST({UTC}, {kept}), {UTC}) WHERE {held}"
            )
        }
        Kind::Extend => format!(
            "{mine} SET l.lock_until = GREATEST(l.lock_until, {LATER}), \
             l.locked_by = LEFT(CONCAT(?, GREATEST({END_AS_NUMBER}, {} + ?), ?), {room}) WHERE {held}",
            micros(UTC)
        ),
        Kind::Lapse => {
            format!("{mine} SET l.lock_until = {LATER}, l.locked_by = ? WHERE {held}")
        }
        Kind::Force => format!(
            "{mine} SET l.lock_until = {UTC} WHERE l.lock_until > {UTC} AND (? IS NULL OR {} = ?) AND {WRITES}",
            micros("l.locked_at")
        ),
        Kind::Page => format!("{} WHERE l.name > ? ORDER BY l.name LIMIT {PAGE}", select(table)),
    }
}

fn select(table: &str) -> String {
    format!(
        "SELECT CONVERT(l.name USING utf8mb4) AS name, LEFT(l.locked_by, 4000) AS locked_by, \
         TIMESTAMPDIFF(MICROSECOND, {UTC}, l.lock_until) AS time_left, {} AS fence, \
         TIMESTAMPDIFF(MICROSECOND, {UTC}, l.locked_at) AS ahead, {} AS now, {} AS ends, {WRITES} AS writes \
         FROM {table} AS l FORCE INDEX (PRIMARY)",
        micros("l.locked_at"),
        micros(UTC),
        micros("l.lock_until"),
    )
}
