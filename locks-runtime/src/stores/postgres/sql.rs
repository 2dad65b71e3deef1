//! The statements. Each changes what it reads in the same row, by the database's clock, and is a transaction of its own.
//!
//! Whose lock it is follows from one row alone: under READ COMMITTED a statement that waited for a row's lock sees that
//! row as it is now, but everything else as it was when the statement began. For the same reason the conditions stand in
//! `SET`, where the row is the newest, and not in `WHERE`.
//!
//! `queue` has the waiters in order, as `{"s": session, "n": number, "u": until when, "h": record}`, and `"m"` of one that lets
//! others hold beside it: `"s"` of a reader, the limit of a permit. A waiter that is not renewed until `u` is skipped. A lock is
//! free when `locked_until` has come.
//!
//! Who holds a lock alone has it in the row's columns. Who holds it beside others stays in the queue, each until its own `u`,
//! with its fence as `"f"`, and as `"k"` what `keep_until` is to the row; the row's session is [`BESIDE`] then. (A row with
//! columns for one of them would have to be another's when that one leaves.)
//!
//! Table and notifications are shared with other versions of this crate that run at the same time.

use super::clauses::{
    ALIVE, BESIDE, KEPT, MICROS, OWN, elements, handed_off, lock_timeout, locked, notice_to_wait, other_kind, seen,
    skipped, unlocked,
};
use super::done_sql::DoneStatements;
use super::free;
use super::hand_over_sql::HandOverStatements;
use super::settled::{Acquirer, Values, settled};
use super::table::Table;

/// The statements for one table. `lock_timeout` is how long to wait for a row that another transaction has locked; then the
/// statement fails, and has done nothing.
#[derive(Debug)]
pub(super) struct Statements {
    /// name, session, number, record, TTL in µs, lock_timeout → what [`seen`] has: of the hold, if the lock was free and nobody
    /// waited; otherwise of the row as it was when the statement began, if there was one. It costs the server a fraction of
    /// `enter`. Empty without a queue.
    pub(super) enter_free: String,
    /// names, session, number, record, TTL in µs, whether to join the queue, mode, lock_timeout → name, and what [`seen`] has. Of
    /// several it joins the queues of all or of none, by what the rows are when the statement begins.
    pub(super) enter: String,
    /// names, session, number → name, and what [`seen`] has.
    pub(super) look: String,
    /// names, session, numbers, TTL in µs → for each name that is there: whether its row is locked, and so was not renewed;
    /// the numbers of the holders, their fences, the numbers of the waiters. It waits for nothing.
    pub(super) renew: String,
    /// The same, lock_timeout → the same; it waits for the rows.
    pub(super) renew_waiting: String,
    /// name, session, number, lock_timeout → one row if it held the lock and nobody waited. Empty without a queue.
    pub(super) leave_unqueued: String,
    /// names, session, numbers, records, TTL in µs, lock_timeout → of each lock that was free, and for which nobody waited: name
    /// and fence of the hold. It waits for rows that others are about to insert, and for no others. Empty without a queue.
    pub(super) enter_many: String,
    /// names, session, numbers → name and fence of each that held its lock, and nobody waited. It waits for nothing. Empty
    /// without a queue.
    pub(super) leave_many: String,
    /// names, session, numbers, channel or NULL, whether what is extended stays, lock_timeout → nothing that matters; hand-offs
    /// are notified.
    pub(super) leave: String,
    /// The same → the names whose rows are locked: nothing was done there. It waits for nothing.
    pub(super) leave_unlocked: String,
    /// names, session, number, rest in µs, channel or NULL, lock_timeout → rows if it holds all of them.
    pub(super) lapse: String,
    /// names, session, number, least time in µs, lock_timeout → rows if it holds all of them.
    pub(super) extend: String,
    /// names, channel or NULL, the fences that are meant or none for all, lock_timeout → one row for each entry that was removed;
    /// this and the hand-off are notified.
    pub(super) force_release: String,
    /// name → name, the time; records, fences and ends of the holders; records and ends of the waiters.
    pub(super) inspect_key: String,
    /// The beginning of names, the first name → the same for each of a page, and for its last name in any case, and whether
    /// there may be more pages.
    pub(super) inspect_prefix: String,
    /// The time in µs since a row was used → how many rows were deleted, of a part of the table; empty if they must stay.
    pub(super) clean: String,
    /// Those of what is done once.
    pub(super) done: DoneStatements,
    /// Those of holds that are handed over.
    pub(super) hand_over: HandOverStatements,
}

/// How much of a record is read, in characters.
pub(super) const LONGEST_RECORD: usize = 65_536;

/// How many rows one page has.
pub(super) const PAGE: usize = 5_000;

impl Statements {
    pub(super) fn of(table: &Table) -> Self {
        let (done, hand_over) = (DoneStatements::of(table), HandOverStatements::of(table));
        let table = &table.quoted;
        let (inspect, seen) = (inspect(), seen());
        let clock = "(SELECT clock_timestamp() AS now OFFSET 0) AS clock";
        Self {
            enter_free: free::enter(table),
            enter: enter(table),
            look: format!("SELECT l.name, {seen} FROM {table} AS l WHERE l.name = ANY($1)"),
            renew: renew(table, &unlocked(table)),
            renew_waiting: renew(table, &locked(table, "$5")),
            leave_unqueued: free::leave(table),
            enter_many: free::enter_many(table),
            leave_many: free::leave_many(table),
            leave: format!("{} SELECT NULL::text AS name FROM notified", leave(table, &locked(table, "$6"))),
            leave_unlocked: format!(
                "{} SELECT NULL::text AS name FROM notified UNION ALL {}",
                leave(table, &unlocked(table)),
                skipped("l.name", table)
            ),
            lapse: lapse(table),
            extend: extend(table),
            force_release: force_release(table),
            inspect_key: format!(
                "{inspect} FROM {table} AS l, {clock} WHERE (l.locked_until > now OR l.queue <> '[]') AND l.name = $1"
            ),
            inspect_prefix: format!(
                "WITH page AS MATERIALIZED (SELECT name, fence, session, locked_until, holder, queue FROM {table} \
                     WHERE name COLLATE \"C\" >= $2 ORDER BY name COLLATE \"C\" LIMIT {PAGE}), \
                 last AS MATERIALIZED (SELECT max(name COLLATE \"C\") AS name, count(*) = {PAGE} AS more FROM page) \
                 {inspect}, last.more FROM page AS l, last, {clock} \
                 WHERE (l.locked_until > now OR l.queue <> '[]') AND starts_with(l.name, $1) OR l.name = last.name \
                 ORDER BY l.name COLLATE \"C\""
            ),
            clean: clean(table),
            done,
            hand_over,
        }
    }
}

/// Puts an entry into the queues, unless it is there or holds the lock; a free lock goes to the first in the queue.
///
/// The rows come in one order everywhere, and each is settled, or inserted, as it is then. So of several that are not to be waited
/// for, some may have been taken since the statement began: they are not entered, and the others have to be left.
fn enter(table: &str) -> String {
    // The more rows it may have to wait for, the longer all of them have to last.
    let later = "now + $5 * interval '1 microsecond' + (cardinality($1) - 1) * $8::interval";
    let mode = "CASE WHEN $7 IS NULL THEN '{}' ELSE jsonb_build_object('m', $7::jsonb) END";
    let element = |until: &str| format!("jsonb_build_object('s', $2, 'n', $3, 'h', $4, 'u', {until}) || {mode}");
    let is_in = |queue: &str| format!("{queue} @> jsonb_build_array(jsonb_build_object('s', $2, 'n', $3))");
    let alive =
        format!("(SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') FROM {} WHERE {ALIVE})", elements("k.queue"));
    // Whether the entry would hold behind them. Another kind than theirs would not.
    let lets_hold = format!(
        "CASE WHEN alive = '[]' THEN true WHEN $7 IS NULL THEN false \
              ELSE jsonb_typeof(alive->0->'m') IS NOT DISTINCT FROM jsonb_typeof($7::jsonb) AND {} IS NULL \
                   AND CASE jsonb_typeof($7::jsonb) WHEN 'number' \
                       THEN jsonb_array_length(alive) < ($7::jsonb #>> '{{}}')::numeric ELSE true END END",
        other_kind("alive")
    );
    let is_there = |row: &str, taken: &str| {
        format!(
            "(({taken} AND {row}.session = $2 AND {row}.number = $3) IS TRUE OR {})",
            is_in(&format!("{row}.queue"))
        )
    };
    let settled = settled(
        "false",
        "false",
        &format!(
            "CASE WHEN {} OR NOT ($6 OR NOT taken AND {lets_hold}) THEN alive ELSE alive || jsonb_build_array({}) END",
            is_there("l", "taken"),
            element(later)
        ),
        Some(Acquirer {
            is_alone: "$7 IS NULL",
            values: Values { session: "$2", number: "$3", holder: "$4", until: later },
        }),
    );
    let seen = seen();
    format!(
        "WITH entered AS (INSERT INTO {table} AS l (name, fence, session, number, holder, locked_until, queue) \
             SELECT name, {MICROS}, CASE WHEN $7 IS NULL THEN $2 ELSE '{BESIDE}' END, CASE WHEN $7 IS NULL THEN $3 END, \
                 CASE WHEN $7 IS NULL THEN $4 END, until, CASE WHEN $7 IS NULL THEN '[]' \
                     ELSE jsonb_build_array({} || jsonb_build_object('f', {MICROS})) END \
             FROM (SELECT now, {later} + $8::interval AS until FROM (SELECT clock_timestamp() AS now, {} OFFSET 0) AS clock) AS clock, \
                 unnest($1::text[]) AS wanted(name) \
             WHERE cardinality($1) = 1 AND ($6 OR $7 IS NULL) OR (SELECT CASE WHEN bool_or(is_there) \
                     THEN count(*) FILTER (WHERE is_there) = cardinality($1) ELSE $6 OR coalesce(bool_and(is_free), true) END \
                 FROM (SELECT {} AS is_there, NOT taken AND {lets_hold} AS is_free \
                       FROM {table} AS k, (SELECT clock_timestamp() AS now OFFSET 0) AS clock, \
                           LATERAL (SELECT k.locked_until > now AND k.session IS DISTINCT FROM '{BESIDE}' AS taken, \
                               {alive} AS alive OFFSET 0) AS state \
                       WHERE k.name = ANY($1)) AS known) \
             ORDER BY name COLLATE \"C\" ON CONFLICT (name) DO UPDATE SET {settled} RETURNING l.name, {seen}) \
         SELECT * FROM entered UNION ALL SELECT l.name, {seen} FROM {table} AS l \
         WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM entered)",
        element("until"),
        lock_timeout("$8"),
        is_there("k", "taken"),
    )
}

/// Removes entries. A lock that they hold goes to the first in the queue, unless it was extended and what is extended stays.
/// Ends with `notified`, which must be read.
fn leave(table: &str, mine: &str) -> String {
    let is_ours = |row: &str| format!("{row}.session IN ($2, $2 || '{KEPT}') AND {row}.number = ANY($3)");
    let settled = settled(
        &format!("coalesce({}, false)", is_ours("l")),
        "$5",
        &format!(
            "(SELECT coalesce(jsonb_agg(CASE WHEN leaves THEN w || jsonb_build_object('s', $2 || '{KEPT}', 'u', w->>'k') ELSE w END \
                  ORDER BY place), '[]') \
              FROM {}, LATERAL (SELECT w->>'s' IN ($2, $2 || '{KEPT}') AND (w->>'n')::bigint = ANY($3) AS leaves OFFSET 0) AS own \
              WHERE NOT leaves OR ($5 AND w ? 'f' AND (w->>'k')::timestamptz > now) IS TRUE)",
            elements("alive")
        ),
        None,
    );
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         left_it AS (UPDATE {table} AS l SET {settled} FROM mine WHERE l.name = mine.name \
             RETURNING CASE WHEN l.session NOT LIKE '%{KEPT}' THEN l.session END AS session, l.number, l.fence, \
                 l.queue, l.locked_until, mine.fence AS before, \
                 coalesce({}, false) OR $5 AND l.session = '{BESIDE}' AS is_other), \
         notified AS MATERIALIZED ({})",
        is_ours("mine"),
        handed_off("left_it", "is_other", "$4")
    )
}

/// In the rows of `mine`, whether the entry holds the lock; and whether it holds all of them.
fn holds_all() -> String {
    format!(
        "(SELECT count(*) FROM mine WHERE taken AND session = $2 AND number = $3 OR session = '{BESIDE}' AND EXISTS \
             (SELECT FROM {} WHERE {OWN} AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp())) = cardinality($1)",
        elements("queue")
    )
}

/// Changes a hold, in the row of one that holds alone or in its element in the queue: what `until` is then, and `keep`.
fn hold_changed(until: [&str; 2], keep: [&str; 2]) -> String {
    let ([row_until, element_until], [row_keep, element_keep]) = (until, keep);
    format!(
        "(locked_until, keep_until, queue) = (SELECT \
             CASE WHEN beside THEN (SELECT max((w->>'u')::timestamptz) FROM jsonb_array_elements(line) AS w WHERE w ? 'f') \
                  ELSE {row_until} END, CASE WHEN beside THEN NULL ELSE {row_keep} END, line \
         FROM (SELECT l.session = '{BESIDE}' AS beside, clock_timestamp() + $4 * interval '1 microsecond' AS until OFFSET 0) AS clock \
         CROSS JOIN LATERAL (SELECT CASE WHEN NOT beside THEN l.queue ELSE (SELECT jsonb_agg(CASE WHEN {OWN} \
             THEN w || jsonb_build_object('u', {element_until}, 'k', {element_keep}) ELSE w END ORDER BY place) FROM {}) END AS line \
             OFFSET 0) AS settled)",
        elements("l.queue")
    )
}

/// Lets a hold end by itself, which may be sooner than the first waiter knows. A renewal that comes late, or this statement once
/// more, must not make it longer again: `keep_until` shows it.
fn lapse(table: &str) -> String {
    let once =
        |until: &str, keep: &str| format!("CASE WHEN {keep} = '-infinity' THEN least({until}, until) ELSE until END");
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         lapsing AS (UPDATE {table} AS l SET {} FROM mine WHERE l.name = mine.name AND {} \
             RETURNING l.name, l.session, l.queue, l.locked_until) \
         SELECT name, (SELECT pg_notify($5, payload) FROM ({}) AS notice WHERE $5 IS NOT NULL) AS notice FROM lapsing",
        locked(table, "$6"),
        hold_changed(
            [&once("l.locked_until", "l.keep_until"), &once("(w->>'u')::timestamptz", "(w->>'k')::timestamptz")],
            ["'-infinity'::timestamptz"; 2]
        ),
        holds_all(),
        notice_to_wait("true"),
    )
}

fn extend(table: &str) -> String {
    let longer = |what: &str| format!("greatest((w->>'{what}')::timestamptz, until)");
    format!(
        "WITH mine AS MATERIALIZED ({}) UPDATE {table} AS l SET {} FROM mine WHERE l.name = mine.name AND {} RETURNING l.name",
        locked(table, "$5"),
        hold_changed(
            ["greatest(l.locked_until, until)", &longer("u")],
            ["greatest(l.keep_until, until)", &longer("k")]
        ),
        holds_all(),
    )
}

/// Takes the lock away from its holders, or those of them that are meant, who are notified.
fn force_release(table: &str) -> String {
    let is_meant = |fence: &str| format!("(cardinality($3) = 0 OR {fence} = ANY($3))");
    let (of_row, of_element) = (is_meant("mine.fence"), is_meant("(w->>'f')::bigint"));
    let former = format!(
        "SELECT mine.session AS session, mine.number AS number WHERE mine.taken AND mine.session IS DISTINCT FROM '{BESIDE}' AND {of_row} \
         UNION ALL SELECT w->>'s', (w->>'n')::bigint FROM jsonb_array_elements(mine.queue) AS w \
             WHERE mine.session = '{BESIDE}' AND w ? 'f' AND {of_element} AND (w->>'u')::timestamptz > clock_timestamp()"
    );
    let settled = settled(
        "NULL::boolean",
        "false",
        &format!(
            "CASE WHEN l.session = '{BESIDE}' THEN (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') FROM {} \
                 WHERE NOT (w ? 'f' AND {of_element})) ELSE alive END",
            elements("alive")
        ),
        None,
    );
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         former AS MATERIALIZED (SELECT mine.name, one.session, one.number FROM mine, LATERAL ({former}) AS one), \
         freed AS (UPDATE {table} AS l SET {settled} FROM mine WHERE l.name = mine.name AND EXISTS (SELECT FROM former) \
             RETURNING l.session, l.number, l.fence, l.queue, l.locked_until, mine.fence AS before), \
         notified AS MATERIALIZED ({}) \
         SELECT name, CASE WHEN former.session IS NOT NULL AND $2 IS NOT NULL \
             THEN pg_notify($2, format('gone %s %s', former.session, former.number)) END AS notice \
         FROM former, (SELECT count(*) FROM notified) AS notices",
        locked(table, "$4"),
        handed_off("freed", "true", "$2")
    )
}

/// Moves on the time of every entry that has not lapsed, in the rows of `mine`. Where holders are beside each other, what has
/// lapsed stays until the row is settled: then others may hold.
fn renew(table: &str, mine: &str) -> String {
    let is_beside = format!("l.session = '{BESIDE}'");
    let of_queue = |what: &str, kind: &str| {
        format!("ARRAY(SELECT {what} FROM {} WHERE w->>'s' = $2 AND {kind} ORDER BY place)", elements("l.queue"))
    };
    let holders = |of_row: &str, what: &str| {
        format!(
            "CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[{of_row}] WHEN {is_beside} THEN {} \
             ELSE ARRAY[]::bigint[] END",
            of_queue(what, "w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp()")
        )
    };
    let shown = format!(
        "{} AS held, {} AS fences, {} AS waiting",
        holders("l.number", "(w->>'n')::bigint"),
        holders("l.fence", "(w->>'f')::bigint"),
        of_queue("(w->>'n')::bigint", &format!("NOT (w ? 'f' AND {is_beside})"))
    );
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         renewed AS (UPDATE {table} AS l SET (locked_until, queue) = (SELECT \
             CASE WHEN l.session = $2 AND l.number = ANY($3) AND l.locked_until > now \
                       AND l.keep_until IS DISTINCT FROM '-infinity' \
                  THEN greatest(later, l.keep_until) \
                  WHEN {is_beside} THEN (SELECT coalesce(max((w->>'u')::timestamptz), l.locked_until) \
                      FROM jsonb_array_elements(line) AS w WHERE w ? 'f') ELSE l.locked_until END, line \
             FROM (SELECT now, now + $4 * interval '1 microsecond' AS later \
                   FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock OFFSET 0) AS clock \
             CROSS JOIN LATERAL (SELECT CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( \
                  CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = ANY($3) AND {ALIVE} AND w->>'k' IS DISTINCT FROM '-infinity' \
                       THEN w || jsonb_build_object('u', greatest(later, (w->>'k')::timestamptz)) ELSE w END ORDER BY place), '[]') \
                  FROM {} WHERE {ALIVE} OR {is_beside}) END AS line OFFSET 0) AS settled) \
         FROM mine WHERE l.name = mine.name RETURNING l.name, {shown}) \
         SELECT false AS is_locked, name, held, fences, waiting FROM renewed UNION ALL {}",
        elements("l.queue"),
        skipped(&format!("true, l.name, {shown}"), table)
    )
}

/// Who holds and who waits, by the clock `now`. The ends are milliseconds since 1970, NULL where there is none.
fn inspect() -> String {
    let is_beside = format!("l.session = '{BESIDE}'");
    let of_queue = |what: &str, which: &str| {
        format!("ARRAY(SELECT {what} FROM {} WHERE {ALIVE} AND {which} ORDER BY place)", elements("l.queue"))
    };
    let millis =
        |until: &str| format!("CASE WHEN isfinite({until}) THEN (extract(epoch FROM {until}) * 1000)::bigint END");
    let holders = |row: &str, element: &str| {
        format!(
            "CASE WHEN {is_beside} THEN {} ELSE ARRAY(SELECT {row} WHERE l.locked_until > now) END",
            of_queue(element, "w ? 'f'")
        )
    };
    let record = format!("left(w->>'h', {LONGEST_RECORD})");
    let (end, waits) = (millis("(w->>'u')::timestamptz"), format!("NOT (w ? 'f' AND {is_beside} IS TRUE)"));
    format!(
        "SELECT l.name, (extract(epoch FROM now) * 1000)::bigint AS now, {} AS holders, {} AS fences, {} AS ends, {} AS waiting, {} AS waiting_ends",
        holders(&format!("left(l.holder, {LONGEST_RECORD})"), &record),
        holders("l.fence", "(w->>'f')::bigint"),
        holders(&millis("l.locked_until"), &end),
        of_queue(&record, &waits),
        of_queue(&end, &waits),
    )
}

/// Deletes rows that have not been used for so long, looking at a part of the table that is chosen by chance.
///
/// A fence is at least the microseconds since 1970, so that one of a row that is made anew is larger: unless the clock was
/// set back by more than that time since.
fn clean(table: &str) -> String {
    let regclass = table.replace('\'', "''");
    let old = "locked_until < since AND coalesce(keep_until < since, true) \
         AND fence < (extract(epoch FROM since) * 1000000)::bigint \
         AND NOT EXISTS (SELECT FROM jsonb_array_elements(queue) AS w WHERE (w->>'u')::timestamptz >= since)";
    format!(
        "WITH old AS MATERIALIZED (SELECT l.name FROM \
                 (SELECT clock_timestamp() - $1 * interval '1 microsecond' AS since OFFSET 0) AS clock, {table} AS l \
                 TABLESAMPLE SYSTEM (least(100, 100.0 * {LOOKED_THROUGH} / greatest(pg_relation_size('{regclass}'), 1))) \
             WHERE {old} LIMIT {MOST_DELETED} FOR UPDATE OF l SKIP LOCKED), \
         deleted AS (DELETE FROM {table} AS l USING old, \
                 (SELECT clock_timestamp() - $1 * interval '1 microsecond' AS since OFFSET 0) AS clock \
             WHERE l.name = old.name AND {old} RETURNING 1) \
         SELECT count(*) AS deleted FROM deleted"
    )
}

/// How many bytes of the table one clean-up looks through, and how many rows it deletes at most.
const LOOKED_THROUGH: usize = 64 * 8192;
pub(super) const MOST_DELETED: usize = 1_000;
