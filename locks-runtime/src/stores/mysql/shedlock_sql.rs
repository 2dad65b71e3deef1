//! The statements for ShedLock's table. As those for our own, none waits for a row.
//!
//! Times are in UTC without a zone, as ShedLock's `usingDbTime()` writes them: `UTC_TIMESTAMP(3)` into a `TIMESTAMP(3)`, which MySQL takes
//! for a time in the session's time zone, when it is written and when it is read. So all services must have sessions of one time zone,
//! and a server whose zone has a gap in spring refuses an hour of UTC. A zone without summer time, or `DATETIME(3)`, is free of both.

use super::sql::{WRITES, without_waiting};

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
    /// `locked_by`, TTL, name: acquires a lock that is free.
    Acquire,
    /// `locked_by`, TTL, name: inserts the row of a lock that is new.
    Insert,
    /// names: their rows.
    Read,
    /// TTL, names, session, numbers as texts: renews what it holds.
    Renew,
    /// whether what is extended stays, name, session, number as a text: releases.
    Leave,
    /// time, the beginning of `locked_by`, time, its end, name, session, number as a text: holds it for so long at least.
    Extend,
    /// time, `locked_by`, name, session, number as a text: lets it end then.
    Lapse,
    /// name, the moment of the grant or NULL, twice: releases by force.
    Force,
    /// The name before: the rows of a page.
    Page,
}

/// How many rows one page has.
pub(super) const PAGE: usize = 2_000;

/// The statement for a table on a server of this version, with so much room in `locked_by`.
pub(super) fn text(kind: Kind, table: &str, version: &str, rows: usize, room: usize) -> String {
    let names = format!("l.name IN ({})", vec!["?"; rows].join(", "));
    let update = format!("UPDATE {table} AS l FORCE INDEX (PRIMARY) SET");
    let held = format!("{names} AND {OURS} AND {NUMBER} = ? AND l.lock_until > {UTC} AND {WRITES}");
    let text = match kind {
        Kind::Read => return format!("{} WHERE {names}", select(table)),
        Kind::Page => return format!("{} WHERE l.name > ? ORDER BY l.name LIMIT {PAGE}", select(table)),
        Kind::Acquire => format!(
            "{update} l.locked_at = {}, l.locked_by = ?, l.lock_until = {LATER} \
             WHERE {names} AND l.lock_until <= {UTC} AND {WRITES}",
            granted()
        ),
        Kind::Insert => format!(
            "INSERT INTO {table} (locked_at, locked_by, lock_until, name) SELECT {}, ?, {LATER}, ? FROM DUAL WHERE {WRITES}",
            granted()
        ),
        // The time of an extended hold is later already: that the row is changed all the same shows that it is there.
        Kind::Renew => format!(
            "{update} l.lock_until = GREATEST(TIMESTAMPADD(MICROSECOND, 1000, l.lock_until), {LATER}) \
             WHERE {names} AND {OURS} AND {NUMBER} IN ({}) AND l.lock_until > {UTC} \
             AND {END} <> '{LAPSING}' AND {WRITES}",
            vec!["?"; rows].join(", ")
        ),
        Kind::Leave => {
            let kept = format!("TIMESTAMPADD(MICROSECOND, {END_AS_NUMBER}, '1970-01-01 00:00:00.000')");
            format!(
                "{update} l.lock_until = IF(? AND {END_AS_NUMBER} > 0, GREATEST({UTC}, {kept}), {UTC}) WHERE {held}"
            )
        }
        Kind::Extend => format!(
            "{update} l.lock_until = GREATEST(l.lock_until, {LATER}), \
             l.locked_by = LEFT(CONCAT(?, GREATEST({END_AS_NUMBER}, {} + ?), ?), {room}) WHERE {held}",
            micros(UTC)
        ),
        Kind::Lapse => format!("{update} l.lock_until = {LATER}, l.locked_by = ? WHERE {held}"),
        Kind::Force => format!(
            "{update} l.lock_until = {UTC} WHERE {names} AND l.lock_until > {UTC} AND (? IS NULL OR {} = ?) AND {WRITES}",
            micros("l.locked_at")
        ),
    };
    format!("{}{text}", without_waiting(version))
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
