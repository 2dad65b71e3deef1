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

use super::table::Table;

/// The statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// Creates the table.
    pub(super) creation: String,
    /// name, session, number, record, TTL in µs, whether to join the queue → [`SEEN`].
    pub(super) enter: String,
    /// name, session, number → [`SEEN`].
    pub(super) look: String,
    /// names, session, numbers, TTL in µs → for each name that is there: the number of the holder, fence, numbers of the waiters.
    pub(super) renew: String,
    /// names, session, numbers, channel, whether extended ones stay → nothing that matters; hand-offs are notified.
    pub(super) leave: String,
    /// name, session, number, least time in µs → one row if it holds.
    pub(super) extend: String,
    /// name, channel → one row for each entry that was removed; this and the hand-off are notified.
    pub(super) force_release: String,
    /// name → name, fence, whether it is held, record, records of the waiters.
    pub(super) inspect_key: String,
    /// The beginning of names → the same for each.
    pub(super) inspect_prefix: String,
}

/// Microseconds since 1970: what a fence is at least, so that it grows even if the table is lost.
const MICROS: &str = "(extract(epoch FROM now) * 1000000)::bigint";

/// What a row shows to an entry: who else holds the lock, for how long yet, and the entry's position in the queue.
const SEEN: &str = "l.session, l.number, l.fence, \
    CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE l.holder END AS holder, \
    (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds, \
    (SELECT place FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
     WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3) AS place";

impl Statements {
    pub(super) fn of(table: &Table) -> Self {
        let (creation, table) = (table.creation(), &table.quoted);
        let inspect = format!(
            "SELECT l.name, l.fence, l.locked_until > now AS held, l.holder, \
             ARRAY(SELECT w->>'h' FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
                   WHERE (w->>'u')::timestamptz > now ORDER BY place) AS waiting \
             FROM {table} AS l, (SELECT clock_timestamp() AS now OFFSET 0) AS clock \
             WHERE (l.locked_until > now OR l.queue <> '[]')"
        );
        Self {
            creation,
            enter: enter(table),
            look: format!("SELECT {SEEN} FROM {table} AS l WHERE l.name = $1"),
            renew: renew(table),
            leave: leave(table),
            extend: format!(
                "UPDATE {table} AS l \
                 SET keep_until = greatest(l.keep_until, until), locked_until = greatest(l.locked_until, until) \
                 FROM (SELECT clock_timestamp() + $4 * interval '1 microsecond' AS until OFFSET 0) AS least \
                 WHERE l.name = $1 AND l.session = $2 AND l.number = $3 AND l.locked_until > clock_timestamp() \
                 RETURNING l.name"
            ),
            force_release: force_release(table),
            inspect_key: format!("{inspect} AND l.name = $1"),
            inspect_prefix: format!("{inspect} AND starts_with(l.name, $1) ORDER BY l.name"),
        }
    }
}

/// Puts an entry into the queue, unless it is there or holds the lock; a free lock goes to the first in the queue.
fn enter(table: &str) -> String {
    let settled = settled(
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
         SELECT $1, {MICROS}, $2, $3, $4, now + $5 * interval '1 microsecond' \
         FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock \
         ON CONFLICT (name) DO UPDATE SET {settled} RETURNING {SEEN}"
    )
}

/// Removes entries. A lock that they hold goes to the first in the queue, unless it was extended.
fn leave(table: &str) -> String {
    let settled = settled(
        "CASE WHEN coalesce(l.session = $2 AND l.number = ANY($3), false) THEN CASE WHEN $5 THEN true END ELSE false END",
        "(SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') \
          FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place) \
          WHERE NOT (w->>'s' = $2 AND (w->>'n')::bigint = ANY($3)))",
        None,
    );
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         left_it AS (UPDATE {table} AS l SET {settled} FROM mine WHERE l.name = mine.name \
             RETURNING l.session, l.number, l.fence, l.queue->0 AS first, l.locked_until, \
                 mine.session = $2 AND mine.number = ANY($3) AS held) \
         SELECT {} FROM left_it WHERE held",
        locked(table, "name = ANY($1)"),
        handed_off("$4")
    )
}

/// Takes the lock away from its holder, who is notified.
fn force_release(table: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED ({}), \
         freed AS (UPDATE {table} AS l SET {} FROM mine WHERE l.name = mine.name AND mine.taken \
             RETURNING mine.session AS former, mine.number AS entry, l.session, l.number, l.fence, l.queue->0 AS first, \
                 l.locked_until) \
         SELECT {}, CASE WHEN former IS NOT NULL THEN pg_notify($2, format('gone %s %s', former, entry)) END FROM freed",
        locked(table, "name = $1"),
        settled("NULL::boolean", "alive", None),
        handed_off("$2"),
    )
}

/// Moves on the time of every entry that has not lapsed.
fn renew(table: &str) -> String {
    format!(
        "WITH mine AS MATERIALIZED ({}) \
         UPDATE {table} AS l SET (locked_until, queue) = (SELECT \
             CASE WHEN l.session = $2 AND l.number = ANY($3) AND l.locked_until > now \
                  THEN greatest(later, l.keep_until) ELSE l.locked_until END, \
             CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( \
                  CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = ANY($3) \
                       THEN w || jsonb_build_object('u', later) ELSE w END ORDER BY place), '[]') \
                  FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
                  WHERE (w->>'u')::timestamptz > now) END \
             FROM (SELECT now, now + $4 * interval '1 microsecond' AS later \
                   FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock OFFSET 0) AS clock) \
         FROM mine WHERE l.name = mine.name \
         RETURNING CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN l.number END AS held, l.fence, \
             ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting",
        locked(table, "name = ANY($1)")
    )
}

/// Notifies the new holder, and the first waiter behind it: until when the lock is held, in microseconds from now, which may
/// be sooner than it seemed. Without waiters it notifies nobody, for at its commit a notification takes a lock of the whole
/// database.
fn handed_off(channel: &str) -> String {
    format!(
        "CASE WHEN session IS NOT NULL THEN pg_notify({channel}, format('turn %s %s %s', session, number, fence)) END, \
         CASE WHEN first IS NOT NULL THEN pg_notify({channel}, format('wait %s %s %s', first->>'s', first->>'n', \
             greatest(0, (extract(epoch FROM locked_until - clock_timestamp()) * 1000000)::bigint))) END"
    )
}

/// The rows, locked in one order everywhere, so that two statements never wait for each other.
fn locked(table: &str, condition: &str) -> String {
    format!(
        "SELECT name, session, number, locked_until > clock_timestamp() AS taken FROM {table} \
         WHERE {condition} ORDER BY name FOR UPDATE"
    )
}

/// The row after a change: `held` is whether the holder releases it (NULL: by force, extended or not), `queue` the waiters
/// that stay, of those `alive`. A free lock goes to `acquirer`, if there is one and the queue is empty, without a detour
/// through the queue; otherwise to the first in the queue, for as long as that one was renewed for.
fn settled(held: &str, queue: &str, acquirer: Option<Acquirer>) -> String {
    let (free, Acquirer { session, number, holder, until }) = match acquirer {
        Some(acquirer) => ("NOT taken AND alive = '[]'", acquirer),
        None => ("false", Acquirer::NONE),
    };
    format!(
        "(fence, session, number, holder, locked_until, keep_until, queue) = (SELECT \
             CASE WHEN direct OR next IS NOT NULL THEN greatest(l.fence + 1, {MICROS}) ELSE l.fence END, \
             CASE WHEN direct THEN {session} WHEN next IS NOT NULL THEN next->>'s' WHEN taken AND NOT kept THEN l.session END, \
             CASE WHEN direct THEN {number} WHEN next IS NOT NULL THEN (next->>'n')::bigint \
                  WHEN taken AND NOT kept THEN l.number END, \
             CASE WHEN direct THEN {holder} WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, \
             CASE WHEN direct THEN {until} WHEN next IS NOT NULL THEN (next->>'u')::timestamptz \
                  WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE least(l.locked_until, now) END, \
             CASE WHEN next IS NULL AND taken THEN l.keep_until END, \
             CASE WHEN next IS NULL THEN line ELSE line - 0 END \
         FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock \
         CROSS JOIN LATERAL (SELECT {held} AS held) AS own \
         CROSS JOIN LATERAL (SELECT coalesce(held AND l.keep_until > now, false) AS kept) AS keeping \
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
