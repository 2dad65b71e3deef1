//! The statements for this crate's own table. Each is a transaction of its own, by the server's clock, and reaches rows by their
//! primary key alone.
//!
//! None waits for a row that another transaction has locked, but the one that inserts rows: the rows are found by `SKIP LOCKED`,
//! and joined to themselves to be changed, in the order in which they were found. Whoever does not find his row looks at it, and
//! asks again (`change`). So a transaction that somebody leaves open is in nobody else's way, and there is nothing to set on a
//! connection: `innodb_lock_wait_timeout` counts in seconds, and MySQL has no other limit for an `UPDATE`.
//!
//! What a statement cannot decide by itself is decided by what was read (`settle`), and written if the row's version is still the
//! one that was read. So requests that come late, or twice, change nothing.
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

/// Whether the server takes writes. A number, or the word of newer versions.
pub(super) const WRITES: &str = "CONCAT(@@global.read_only) IN ('0', 'OFF')";

/// The columns that a swap writes, in this order.
pub(super) const SWAPPED: [&str; 7] = ["fence", "session", "number", "holder", "locked_until", "keep_until", "queue"];

/// How many rows one page has.
pub(super) const PAGE: usize = 2_000;

/// More of them in one list become a join, by which MariaDB reads them otherwise.
const LIST: usize = 500;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// names, session, a number for each name, a record for each name, TTL: acquires those that are free and have no queue. The
    /// fence of the last is the reply's `insert_id`.
    Acquire,
    /// names, session, a number for each name: releases those that the session holds by that number, and that have no queue.
    Release,
    /// names, TTL, session, numbers: renews those that it holds alone.
    Renew,
    /// names: their rows.
    Read,
    /// name and version of each, each of [`SWAPPED`] for each name, least number of rows: writes those rows whose versions are these,
    /// if they are that many.
    Swap,
    /// names: inserts rows that nobody holds, where there are none.
    Insert,
    /// name, session, number, record, TTL: inserts a row that is held.
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
    texts: Mutex<BTreeMap<(Kind, usize), Arc<str>>>,
}

impl Statements {
    pub(super) fn of(table: &Table) -> Self {
        Self { table: table.quoted.clone(), texts: Mutex::default() }
    }

    /// The statement for so many rows. There are few: one of fewer rows has the last of them more than once.
    pub(super) fn text(&self, kind: Kind, rows: usize) -> Arc<str> {
        let mut texts = self.texts.lock();
        Arc::clone(texts.entry((kind, rows)).or_insert_with(|| self.written(kind, rows).into()))
    }

    fn written(&self, kind: Kind, rows: usize) -> String {
        let (table, mine) = (&self.table, format!("UPDATE {}", self.unlocked("name", &names(rows))));
        match kind {
            Kind::Acquire => format!(
                "{mine} SET l.version = l.version + 1, l.fence = LAST_INSERT_ID(GREATEST(l.fence + 1, {NOW})), l.session = ?, \
                 l.number = {each}, l.holder = {each}, l.locked_until = {NOW} + ?, l.keep_until = NULL \
                 WHERE l.locked_until <= {NOW} AND l.queue = '' AND {WRITES}",
                each = for_each(rows)
            ),
            Kind::Release => format!(
                "{mine} SET l.version = l.version + 1, l.session = NULL, l.number = NULL, l.holder = NULL, \
                 l.locked_until = LEAST(l.locked_until, {NOW}), l.keep_until = NULL \
                 WHERE l.session = ? AND l.number = {} AND l.queue = '' AND {WRITES}",
                for_each(rows)
            ),
            Kind::Renew => format!(
                "{mine} SET l.version = l.version + 1, l.locked_until = GREATEST(l.locked_until, {NOW} + ?) \
                 WHERE l.session = ? AND {} AND l.locked_until > {NOW} AND (l.keep_until IS NULL OR l.keep_until <> {LAPSING}) \
                 AND {WRITES}",
                lists("l.number", rows)
            ),
            Kind::Read => {
                format!("SELECT {} FROM {table} AS l FORCE INDEX (PRIMARY) WHERE {}", columns(), lists("l.name", rows))
            }
            Kind::Swap => self.swap(rows),
            Kind::Insert => {
                let row = format!("SELECT ?, 1, 0, 0, '' FROM DUAL WHERE {WRITES}");
                format!(
                    "INSERT INTO {table} (name, version, fence, locked_until, queue) {} \
                     ON DUPLICATE KEY UPDATE {table}.version = {table}.version",
                    vec![row; rows].join(" UNION ALL ")
                )
            }
            Kind::InsertHeld => format!(
                "INSERT INTO {table} (name, version, fence, session, number, holder, locked_until, queue) \
                 SELECT ?, 1, LAST_INSERT_ID({NOW}), ?, ?, ?, {NOW} + ?, '' FROM DUAL WHERE {WRITES}"
            ),
            Kind::Page => format!(
                "SELECT {} FROM {table} AS l FORCE INDEX (PRIMARY) WHERE l.name > ? AND l.name < ? ORDER BY l.name LIMIT {PAGE}",
                columns()
            ),
            Kind::Delete => format!(
                "DELETE l FROM {} WHERE l.locked_until < ? AND l.queue = '' AND {WRITES}",
                self.unlocked("name", &names(rows))
            ),
        }
    }

    fn swap(&self, rows: usize) -> String {
        let found = vec!["name = ? AND version = ?"; rows].join(" OR ");
        let set: Vec<String> = SWAPPED.iter().map(|column| format!("l.{column} = {}", for_each(rows))).collect();
        format!(
            "UPDATE {} SET l.version = l.version + 1, {} WHERE mine.found >= ? AND {WRITES}",
            self.unlocked("name, COUNT(*) OVER () AS found", &found),
            set.join(", ")
        )
    }

    /// Of the rows that are meant those that no other transaction has locked, as `l`, and what is found of them first, as `mine`.
    fn unlocked(&self, found: &str, which: &str) -> String {
        let table = &self.table;
        format!(
            "(SELECT {found} FROM {table} FORCE INDEX (PRIMARY) WHERE {which} FOR UPDATE SKIP LOCKED) AS mine \
             STRAIGHT_JOIN {table} AS l FORCE INDEX (PRIMARY) ON l.name = mine.name"
        )
    }
}

fn columns() -> String {
    format!(
        "l.name, l.version, {}, {NOW} AS now, {WRITES} AS writes",
        SWAPPED.map(|column| format!("l.{column}")).join(", ")
    )
}

fn names(rows: usize) -> String {
    lists("name", rows)
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
    if rows == 1 { "?".to_owned() } else { format!("CASE l.name{} END", " WHEN ? THEN ?".repeat(rows)) }
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
        let statements = Statements::of(&Table::parse("t", "d").unwrap());
        let count = |kind, rows| statements.text(kind, rows).matches('?').count();
        for (kind, one, four) in [
            (Kind::Acquire, 5, 4 + 1 + 8 + 8 + 1),
            (Kind::Release, 3, 4 + 1 + 8),
            (Kind::Renew, 4, 4 + 1 + 4 + 1),
            (Kind::Read, 1, 4),
            (Kind::Swap, 2 + 7 + 1, 8 + 56 + 1),
            (Kind::Insert, 1, 4),
        ] {
            assert_eq!((count(kind, 1), count(kind, 4)), (one, four), "{kind:?}");
        }
    }
}
