//! The statements. Each changes what it reads in the same row, by the database's clock, and is a transaction of its own.
//!
//! Whose lock it is follows from one row alone: under READ COMMITTED a statement that waited for a row's lock sees that
//! row as it is now, but everything else as it was when the statement began. For the same reason the conditions stand in
//! `SET`, where the row is the newest, and not in `WHERE`.
//!
//! `queue` has the waiters in order, as `{"s": session, "n": number, "u": until when, "h": record}`. A waiter that is not
//! renewed until `u` is skipped. A lock is free when `locked_until` has come.
//!
//! Table and notifications are shared with other versions of this crate that run at the same time.

use super::clauses::{MICROS, SEEN, lock_timeout};
use super::free;
use super::table::Table;

/// The statements for one table. `lock_timeout` is how long to wait for a row that another transaction has locked; then the
/// statement fails, and has done nothing.
#[derive(Debug)]
pub(super) struct Statements {
    /// name, session, number, record, TTL in µs, lock_timeout → [`SEEN`]: of the hold, if the lock was free and nobody waited;
    /// otherwise of the row as it was when the statement began, if there was one. It costs the server a fraction of `enter`.
    /// Empty without a queue.
    pub(super) enter_free: String,
    /// name, session, number, record, TTL in µs, whether to join the queue, lock_timeout → [`SEEN`].
    pub(super) enter: String,
    /// name, session, number → [`SEEN`].
    pub(super) look: String,
    /// names, session, numbers, TTL in µs → for each name that is there: whether its row is locked, and so was not renewed;
    /// the number of the holder, fence, numbers of the waiters. It waits for nothing.
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
    /// name, session, number, rest in µs, channel or NULL, lock_timeout → one row if it holds.
    pub(super) lapse: String,
    /// name, session, number, least time in µs, lock_timeout → one row if it holds.
    pub(super) extend: String,
    /// name, channel or NULL, lock_timeout → one row for each entry that was removed; this and the hand-off are notified.
    pub(super) force_release: String,
    /// name → name, fence, whether it is held, record, records of the waiters.
    pub(super) inspect_key: String,
    /// The beginning of names, the first name → the same for each of a page, and for its last name in any case, and whether
    /// there may be more pages.
    pub(super) inspect_prefix: String,
    /// The time in µs since a row was used → how many rows were deleted, of a part of the table; empty if they must stay.
    pub(super) clean: String,
}

/// How much of a record is read, in characters.
pub(super) const LONGEST_RECORD: usize = 65_536;

/// How many rows one page has.
pub(super) const PAGE: usize = 5_000;

impl Statements {
    pub(super) fn of(table: &Table) -> Self {
        let table = &table.quoted;
        let inspect = format!(
            "SELECT l.name, l.fence, l.locked_until > now AS held, left(l.holder, {LONGEST_RECORD}) AS holder, \
             ARRAY(SELECT left(w->>'h', {LONGEST_RECORD}) FROM jsonb_array_elements(l.queue) \
                   WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now ORDER BY place) AS waiting"
        );
        let clock = "(SELECT clock_timestamp() AS now OFFSET 0) AS clock";
        Self {
            enter_free: free::enter(table),
            enter: enter(table),
            look: format!("SELECT {SEEN} FROM {table} AS l WHERE l.name = $1"),
            renew: renew(table, &unlocked(table)),
            renew_waiting: renew(table, &locked(table, "name = ANY($1)", "$5")),
            leave_unqueued: free::leave(table),
            enter_many: free::enter_many(table),
            leave_many: free::leave_many(table),
            leave: format!(
                "{} SELECT NULL::text AS name FROM notified",
                leave(table, &locked(table, "name = ANY($1)", "$6"))
            ),
            leave_unlocked: format!(
                "{} SELECT NULL::text AS name FROM notified UNION ALL {}",
                leave(table, &unlocked(table)),
                skipped("l.name", table)
            ),
            lapse: lapse(table),
            extend: format!(
                "UPDATE {table} AS l \
                 SET keep_until = greatest(l.keep_until, until), locked_until = greatest(l.locked_until, until) \
                 FROM (SELECT clock_timestamp() + $4 * interval '1 microsecond' AS until, {} OFFSET 0) AS least \
                 WHERE l.name = $1 AND l.session = $2 AND l.number = $3 AND l.locked_until > clock_timestamp() \
                 RETURNING l.name",
                lock_timeout("$5")
            ),
            force_release: force_release(table),
            inspect_key: format!(
                "{inspect} FROM {table} AS l, {clock} WHERE (l.locked_until > now OR l.queue <> '[]') AND l.name = $1"
            ),
            inspect_prefix: format!(
                "WITH page AS MATERIALIZED (SELECT name, fence, locked_until, holder, queue FROM {table} \
                     WHERE name COLLATE \"C\" >= $2 ORDER BY name COLLATE \"C\" LIMIT {PAGE}), \
                 last AS MATERIALIZED (SELECT max(name COLLATE \"C\") AS name, count(*) = {PAGE} AS more FROM page) \
                 {inspect}, last.more FROM page AS l, last, {clock} \
                 WHERE (l.locked_until > now OR l.queue <> '[]') AND starts_with(l.name, $1) OR l.name = last.name \
                 ORDER BY l.name COLLATE \"C\""
            ),
            clean: clean(table),
        }
    }
}

/// Puts an entry into the queue, unless it is there or holds the lock; a free lock goes to the first in the queue.
fn enter(table: &str) -> String {
    // A row that another inserts and takes back is waited for after the clock was read.
    let settled = settled(
        "false",
        "false",
        "CASE WHEN (taken AND l.session = $2 AND l.number = $3) IS TRUE \
              OR l.queue @> jsonb_build_array(jsonb_build_object('s', $2, 'n', $3)) \
              OR NOT $6 AND (taken OR alive <> '[]') THEN alive \
         ELSE alive || jsonb_build_array(jsonb_build_object('s', $2, 'n', $3, 'h', $4, \
              'u', now + $5 * interval '1 microsecond')) END",
        Some(Acquirer { session: "$2", number: "$3", holder: "$4", until: "now + $5 * interval '1 microsecond'" }),
    );
    format!(
        "INSERT INTO {table} AS l (name, fence, session, number, holder, locked_until) \
         SELECT $1, {MICROS}, $2, $3, $4, now + $5 * interval '1 microsecond' + $7::interval \
         FROM (SELECT clock_timestamp() AS now, {} OFFSET 0) AS clock \
         ON CONFLICT (name) DO UPDATE SET {settled} RETURNING {SEEN}",
        lock_timeout("$7")
    )
}

/// Removes entries. A lock that they hold goes to the first in the queue, unless it was extended and what is extended stays.
/// Ends with `notified`, which must be read.
fn leave(table: &str, mine: &str) -> String {
    let is_ours = |row: &str| format!("{row}.session IN ($2, $2 || '{KEPT}') AND {row}.number = ANY($3)");
    let settled = settled(
        &format!("coalesce({}, false)", is_ours("l")),
        "$5",
        "(SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') \
          FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place) \
          WHERE NOT (w->>'s' = $2 AND (w->>'n')::bigint = ANY($3)))",
        None,
    );
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         left_it AS (UPDATE {table} AS l SET {settled} FROM mine WHERE l.name = mine.name \
             RETURNING CASE WHEN l.session NOT LIKE '%{KEPT}' THEN l.session END AS session, l.number, l.fence, \
                 l.queue->0 AS first, l.locked_until, {} AS held), \
         notified AS MATERIALIZED (SELECT {} FROM left_it WHERE held)",
        is_ours("mine"),
        handed_off("$4")
    )
}

/// Lets a hold end by itself, which may be sooner than the first waiter knows. A renewal that comes late must not make it
/// longer again: `keep_until` shows it.
fn lapse(table: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         lapsing AS (UPDATE {table} AS l SET locked_until = clock_timestamp() + $4 * interval '1 microsecond', keep_until = '-infinity' \
             FROM mine WHERE l.name = mine.name AND l.session = $2 AND l.number = $3 AND mine.taken \
             RETURNING l.queue->0 AS first, l.locked_until) \
         SELECT {} FROM lapsing",
        locked(table, "name = $1", "$6"),
        told_to_wait("$5")
    )
}

/// Takes the lock away from its holder, who is notified.
fn force_release(table: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         freed AS (UPDATE {table} AS l SET {} FROM mine WHERE l.name = mine.name AND mine.taken \
             RETURNING mine.session AS former, mine.number AS entry, l.session, l.number, l.fence, l.queue->0 AS first, \
                 l.locked_until) \
         SELECT {}, CASE WHEN former IS NOT NULL AND $2 IS NOT NULL \
             THEN pg_notify($2, format('gone %s %s', former, entry)) END FROM freed",
        locked(table, "name = $1", "$3"),
        settled("NULL::boolean", "false", "alive", None),
        handed_off("$2")
    )
}

/// Moves on the time of every entry that has not lapsed, in the rows of `mine`.
fn renew(table: &str, mine: &str) -> String {
    let shown = "CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN l.number END AS held, l.fence, \
         ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting";
    format!(
        "WITH mine AS MATERIALIZED ({mine}), \
         renewed AS (UPDATE {table} AS l SET (locked_until, queue) = (SELECT \
             CASE WHEN l.session = $2 AND l.number = ANY($3) AND l.locked_until > now \
                       AND l.keep_until IS DISTINCT FROM '-infinity' \
                  THEN greatest(later, l.keep_until) ELSE l.locked_until END, \
             CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( \
                  CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = ANY($3) \
                       THEN w || jsonb_build_object('u', later) ELSE w END ORDER BY place), '[]') \
                  FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
                  WHERE (w->>'u')::timestamptz > now) END \
             FROM (SELECT now, now + $4 * interval '1 microsecond' AS later \
                   FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock OFFSET 0) AS clock) \
         FROM mine WHERE l.name = mine.name RETURNING l.name, {shown}) \
         SELECT false AS is_locked, name, held, fence, waiting FROM renewed UNION ALL {}",
        skipped(&format!("true, l.name, {shown}"), table)
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

/// Notifies the new holder, and the first waiter behind it. Without waiters it notifies nobody, for at its commit a
/// notification takes a lock of the whole database.
fn handed_off(channel: &str) -> String {
    format!(
        "CASE WHEN session IS NOT NULL AND {channel} IS NOT NULL \
             THEN pg_notify({channel}, format('turn %s %s %s', session, number, fence)) END, {}",
        told_to_wait(channel)
    )
}

/// Notifies the first waiter: until when the lock is held, in microseconds from now, which may be sooner than it seemed.
fn told_to_wait(channel: &str) -> String {
    format!(
        "CASE WHEN first IS NOT NULL AND {channel} IS NOT NULL THEN pg_notify({channel}, format('wait %s %s %s', \
             first->>'s', first->>'n', greatest(0, (extract(epoch FROM locked_until - clock_timestamp()) * 1000000)::bigint))) \
         END"
    )
}

/// The rows, locked in one order everywhere, so that two statements never wait for each other.
fn locked(table: &str, condition: &str, limit: &str) -> String {
    format!(
        "SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken \
         FROM {table} AS t, (SELECT {} OFFSET 0) AS lock_timeout WHERE t.{condition} ORDER BY t.name FOR UPDATE OF t",
        lock_timeout(limit)
    )
}

/// The rows of the names `$1` that no other transaction has locked.
fn unlocked(table: &str) -> String {
    format!(
        "SELECT name, session, number, locked_until > clock_timestamp() AS taken FROM {table} \
         WHERE name = ANY($1) ORDER BY name FOR UPDATE SKIP LOCKED"
    )
}

/// What `columns` show of the rows `$1` that are not in `mine`, as they were before.
pub(super) fn skipped(columns: &str, table: &str) -> String {
    format!(
        "SELECT {columns} FROM {table} AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name = l.name)"
    )
}

/// Follows the session of a hold that stays after its session was closed: late requests for it find none of their own, and
/// only one that takes it out does.
const KEPT: &str = ".kept";

/// The row after a change: `held` is whether the holder releases it (NULL: by force, extended or not), `queue` the waiters
/// that stay, of those `alive`; a hold that was extended stays if `keeps` says so. A free lock goes to `acquirer`, if there
/// is one and the queue is empty, without a detour through the queue; otherwise to the first in the queue, for as long as
/// that one was renewed for.
fn settled(held: &str, keeps: &str, queue: &str, acquirer: Option<Acquirer>) -> String {
    let (free, Acquirer { session, number, holder, until }) = match acquirer {
        Some(acquirer) => ("NOT taken AND alive = '[]'", acquirer),
        None => ("false", Acquirer::NONE),
    };
    format!(
        "(fence, session, number, holder, locked_until, keep_until, queue) = (SELECT \
             CASE WHEN direct OR next IS NOT NULL THEN greatest(l.fence + 1, {MICROS}) ELSE l.fence END, \
             CASE WHEN direct THEN {session} WHEN next IS NOT NULL THEN next->>'s' \
                  WHEN kept THEN replace(l.session, '{KEPT}', '') || '{KEPT}' WHEN taken THEN l.session END, \
             CASE WHEN direct THEN {number} WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, \
             CASE WHEN direct THEN {holder} WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, \
             CASE WHEN direct THEN {until} WHEN next IS NOT NULL THEN (next->>'u')::timestamptz \
                  WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE least(l.locked_until, now) END, \
             CASE WHEN next IS NULL AND taken THEN l.keep_until END, \
             CASE WHEN next IS NULL THEN line ELSE line - 0 END \
         FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock \
         CROSS JOIN LATERAL (SELECT {held} AS held) AS own \
         CROSS JOIN LATERAL (SELECT coalesce(held AND {keeps} AND l.keep_until > now, false) AS kept) AS keeping \
         CROSS JOIN LATERAL (SELECT l.locked_until > now AND coalesce(NOT held OR kept, false) AS taken) AS state \
         CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive \
             FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
             WHERE (w->>'u')::timestamptz > now) AS living \
         CROSS JOIN LATERAL (SELECT {free} AS direct OFFSET 0) AS freedom \
         CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE {queue} END AS line OFFSET 0) AS standing \
         CROSS JOIN LATERAL (SELECT CASE WHEN NOT taken THEN line->0 END AS next OFFSET 0) AS first)"
    )
}

/// The entry that acquires a free lock, as expressions.
struct Acquirer {
    session: &'static str,
    number: &'static str,
    holder: &'static str,
    until: &'static str,
}

impl Acquirer {
    const NONE: Self = Self { session: "NULL", number: "NULL", holder: "NULL", until: "NULL" };
}
