//! The statements for this crate's own table. Each is a transaction of its own, by the server's clock, and reaches rows by their
//! primary key alone.
//!
//! None waits for a row that another transaction has locked: it fails at once, as a whole, and whoever sent it asks again (`change`),
//! or for the others alone (`Unlocked`). So a transaction that somebody leaves open is in nobody else's way. On MariaDB each statement
//! says so itself, and nothing has to be set on a connection; MySQL knows no such limit but that of the connection, in seconds.
//!
//! Each changes one table, as it is found, and joins nothing: what MariaDB joins to change it, it keeps in a temporary table on disk.
//!
//! What a statement cannot decide by itself is decided by what was read (`settle`), and written if the row's version is still the
//! one that was read. So requests that come late, or twice, change nothing: a version is at least the microseconds since 1970, so that
//! a row has none that one of its name had which was deleted, or is in a table or a server that was lost.
//!
//! The time is that of the statement's beginning, in UTC: never `NOW()`, which is in the time zone of the session. A server
//! that was made read-only is not written to even by a user who might.

use super::row::LAPSING;
use super::table::Table;
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The server's time, in microseconds since 1970.
pub(super) const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// Whether the server takes writes. `read_only` is a number, or the word of newer versions.
pub(super) const WRITES: &str = "CONCAT(@@global.read_only) IN ('0', 'OFF') AND @@global.innodb_read_only = 0";

/// The columns that a swap writes, in this order.
pub(super) const SWAPPED: [&str; 7] = ["fence", "session", "number", "holder", "locked_until", "keep_until", "queue"];

/// How many rows one page has.
pub(super) const PAGE: usize = 2_000;

/// More of them in one list become a join, by which MariaDB reads them otherwise.
const LIST: usize = 500;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// session, a number for each name, a record for each name, TTL, names: acquires those that are free and have no queue. The
    /// fence of the last is the reply's `insert_id`.
    Acquire,
    /// names, session, a number for each name: releases those that the session holds by that number, and that have no queue.
    Release,
    /// TTL, names, session, numbers: renews those that it holds alone.
    Renew,
    /// names: their rows, and one without a name if there are none.
    Read,
    /// names: of those that have a row, which no other transaction has locked.
    Unlocked,
    /// each of [`SWAPPED`] for each name, name and version of each: writes those rows whose versions are these.
    SwapEach,
    /// a version for each name, each of [`SWAPPED`] for each name, names: writes all of them, or fails if one has another version.
    SwapAll,
    /// names: inserts rows that nobody holds, where there are none.
    Insert,
    /// name, session, number, record and TTL of each: inserts rows that are held, all or none. The fence of each is the
    /// reply's `insert_id`.
    InsertHeld,
    /// The name before, the end of names: the rows of a page.
    Page,
    /// names, time: deletes those that were not used since then.
    Delete,
}

/// The texts of the statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    table: String,
    without_waiting: &'static str,
    texts: Mutex<BTreeMap<(Kind, usize), Arc<str>>>,
}

/// What a statement begins with that must not wait for a row, on a server of this version.
pub(super) fn without_waiting(version: &str) -> &'static str {
    if version.contains("MariaDB") { "SET STATEMENT innodb_lock_wait_timeout = 0 FOR " } else { "" }
}

impl Statements {
    /// For a server of this version.
    pub(super) fn of(table: &Table, version: &str) -> Self {
        Self { table: table.quoted.clone(), without_waiting: without_waiting(version), texts: Mutex::default() }
    }

    /// The statement for so many rows. There are few: one of fewer rows has the last of them more than once.
    pub(super) fn text(&self, kind: Kind, rows: usize) -> Arc<str> {
        let mut texts = self.texts.lock();
        Arc::clone(texts.entry((kind, rows)).or_insert_with(|| self.written(kind, rows).into()))
    }

    fn written(&self, kind: Kind, rows: usize) -> String {
        let (table, names, each) = (&self.table, lists("name", rows), for_each(rows));
        let next = format!("version = GREATEST(version + 1, {NOW})");
        let text = match kind {
            Kind::Read => return self.read(rows),
            Kind::Unlocked => {
                return format!("SELECT name FROM {table} FORCE INDEX (PRIMARY) WHERE {names} FOR UPDATE SKIP LOCKED");
            }
            Kind::Page => return self.page(),
            Kind::Acquire => format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET {next}, \
                 fence = LAST_INSERT_ID(GREATEST(fence + 1, {NOW})), session = ?, number = {each}, holder = {each}, \
                 locked_until = {NOW} + ?, keep_until = NULL WHERE {names} AND locked_until <= {NOW} AND queue = '' AND {WRITES}"
            ),
            Kind::Release => format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET {next}, session = NULL, number = NULL, holder = NULL, \
                 locked_until = LEAST(locked_until, {NOW}), keep_until = NULL \
                 WHERE {names} AND session = ? AND number = {each} AND queue = '' AND {WRITES}"
            ),
            Kind::Renew => format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET {next}, \
                 locked_until = GREATEST(locked_until, {NOW} + ?) WHERE {names} AND session = ? AND {} \
                 AND locked_until > {NOW} AND (keep_until IS NULL OR keep_until <> {LAPSING}) AND {WRITES}",
                lists("number", rows)
            ),
            Kind::SwapEach => format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET {next}, {} WHERE ({}) AND {WRITES}",
                swapped(rows),
                vec!["name = ? AND version = ?"; rows].join(" OR ")
            ),
            // To add that is out of range for any version, in whatever SQL mode: the statement fails, and has done nothing.
            Kind::SwapAll => format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET version = GREATEST(version + IF(version = {each}, 1, {}), {NOW}), {} \
                 WHERE {names} AND {WRITES}",
                i64::MAX,
                swapped(rows)
            ),
            Kind::Insert => {
                // Of now: one of long ago would be old enough to be deleted.
                let row = format!("SELECT ?, {NOW}, 0, {NOW}, '' FROM DUAL WHERE {WRITES}");
                format!(
                    "INSERT INTO {table} (name, version, fence, locked_until, queue) {} \
                     ON DUPLICATE KEY UPDATE {table}.version = {table}.version",
                    vec![row; rows].join(" UNION ALL ")
                )
            }
            Kind::InsertHeld => {
                let row =
                    format!("SELECT ?, {NOW}, LAST_INSERT_ID({NOW}), ?, ?, ?, {NOW} + ?, '' FROM DUAL WHERE {WRITES}");
                format!(
                    "INSERT INTO {table} (name, version, fence, session, number, holder, locked_until, queue) {}",
                    vec![row; rows].join(" UNION ALL ")
                )
            }
            Kind::Delete => self.delete(&names),
        };
        format!("{}{text}", self.without_waiting)
    }

    /// In this form alone an index can be named: without one a small table is read as a whole, past rows that are locked.
    fn delete(&self, names: &str) -> String {
        let table = &self.table;
        format!(
            "DELETE FROM {table} USING {table} FORCE INDEX (PRIMARY) \
             WHERE {names} AND locked_until < ? AND queue = '' AND {WRITES}"
        )
    }

    /// At least one row, which says what time it is.
    fn read(&self, rows: usize) -> String {
        format!(
            "SELECT {} FROM (SELECT 1 AS one) AS here LEFT JOIN {} AS l FORCE INDEX (PRIMARY) ON {}",
            columns(),
            self.table,
            lists("l.name", rows)
        )
    }

    fn page(&self) -> String {
        format!(
            "SELECT {} FROM {} AS l FORCE INDEX (PRIMARY) WHERE l.name > ? AND l.name < ? ORDER BY l.name LIMIT {PAGE}",
            columns(),
            self.table
        )
    }
}

fn swapped(rows: usize) -> String {
    let set: Vec<String> = SWAPPED.iter().map(|column| format!("{column} = {}", for_each(rows))).collect();
    set.join(", ")
}

fn columns() -> String {
    format!(
        "l.name, l.version, {}, {NOW} AS now, {WRITES} AS writes",
        SWAPPED.map(|column| format!("l.{column}")).join(", ")
    )
}

/// Whether a column has one of so many values.
fn lists(column: &str, values: usize) -> String {
    let list = |count: usize| format!("{column} IN ({})", vec!["?"; count].join(", "));
    let (full, rest) = (values / LIST, values % LIST);
    let lists = std::iter::repeat_n(LIST, full).chain((rest > 0).then_some(rest)).map(list);
    format!("({})", lists.collect::<Vec<_>>().join(" OR "))
}

/// The value for the row's name, of one for each name.
fn for_each(rows: usize) -> String {
    if rows == 1 { "?".to_owned() } else { format!("CASE name{} END", " WHEN ? THEN ?".repeat(rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_so_long_that_it_becomes_a_join() {
        assert_eq!(lists("name", 2), "(name IN (?, ?))");
        let long = lists("name", 1_200);
        assert_eq!((long.matches('?').count(), long.matches(" IN ").count()), (1_200, 3));
    }

    #[test]
    fn each_statement_has_the_parameters_that_it_says() {
        let statements = Statements::of(&Table::parse("t", "d").unwrap(), "8.4");
        let count = |kind, rows| statements.text(kind, rows).matches('?').count();
        for (kind, one, four) in [
            (Kind::Acquire, 5, 4 + 1 + 8 + 8 + 1),
            (Kind::Release, 3, 4 + 1 + 8),
            (Kind::Renew, 4, 4 + 1 + 4 + 1),
            (Kind::Read, 1, 4),
            (Kind::SwapEach, 2 + 7, 8 + 56),
            (Kind::SwapAll, 1 + 7 + 1, 8 + 56 + 4),
            (Kind::InsertHeld, 5, 20),
            (Kind::Insert, 1, 4),
        ] {
            assert_eq!((count(kind, 1), count(kind, 4)), (one, four), "{kind:?}");
        }
    }
}
