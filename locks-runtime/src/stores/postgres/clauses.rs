//! What several statements have in common.

/// Microseconds since 1970: what a fence is at least, so that it grows even if the table is lost.
pub(super) const MICROS: &str = "(extract(epoch FROM now) * 1000000)::bigint";

/// In place of a holder's session: the holders are in the queue, beside each other, and `locked_until` is when the last of them
/// lapses. An earlier version of this crate takes it for a holder.
pub(super) const BESIDE: &str = ".beside";

/// Follows the session of a hold that stays after its session was closed: late requests for it find none of their own, and
/// only one that takes it out does.
pub(super) const KEPT: &str = ".kept";

/// Whether an element is of the entry `$2`, `$3`.
pub(super) const OWN: &str = "w->>'s' = $2 AND (w->>'n')::bigint = $3";

/// Whether an element has not lapsed.
pub(super) const ALIVE: &str = "(w->>'u')::timestamptz > now";

/// The elements of a queue, in order.
pub(super) fn elements(queue: &str) -> String {
    format!("jsonb_array_elements({queue}) WITH ORDINALITY AS waiting(w, place)")
}

/// The place of the first element of another kind than the first, NULL if there is none.
pub(super) fn other_kind(queue: &str) -> String {
    format!(
        "(SELECT min(at) FROM jsonb_array_elements({queue}) WITH ORDINALITY AS all_of_them(one, at) \
         WHERE jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof({queue}->0->'m'))"
    )
}

/// Whether the element `w` at `place` may hold the lock beside those before it, where `other` is [`other_kind`].
pub(super) const HOLDS: &str = "(place < other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true \
    WHEN 'number' THEN place <= greatest((w->>'m')::numeric, 1) ELSE false END";

/// What a row shows to an entry: who else holds the lock, for how long yet, the entry's position among the waiters, and its fence
/// if it holds beside others.
///
/// Where holders are beside each other it is the time until the first element lapses, holder or not, for that may be enough; and
/// none if the entry only has to settle the row.
pub(super) fn seen() -> String {
    let is_beside = format!("l.session = '{BESIDE}'");
    let (elements, other) = (elements("l.queue"), other_kind("l.queue"));
    let left = |until: &str| format!("extract(epoch FROM {until}) - extract(epoch FROM clock_timestamp())");
    let (of_row, of_element) = (left("l.locked_until"), left("(w->>'u')::timestamptz"));
    format!(
        "l.session, l.number, l.fence, \
         CASE WHEN l.session = $2 AND l.number = $3 THEN NULL \
              ELSE left(CASE WHEN {is_beside} THEN l.queue->0->>'h' ELSE l.holder END, 65536) END AS holder, \
         (CASE WHEN {is_beside} THEN (SELECT coalesce(min(CASE WHEN {OWN} AND NOT w ? 'f' AND {HOLDS} THEN 0 \
                   ELSE {of_element} END), 0) FROM (SELECT {other} AS other OFFSET 0) AS kind, {elements}) \
              ELSE {of_row} END)::float8 AS seconds, \
         (SELECT greatest(1, place - CASE WHEN {is_beside} \
                   THEN (SELECT count(*) FROM jsonb_array_elements(l.queue) AS one WHERE one ? 'f') ELSE 0 END) \
          FROM {elements} WHERE {OWN}) AS place, \
         CASE WHEN {is_beside} THEN (SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) AS w \
              WHERE {OWN} AND (w->>'u')::timestamptz > clock_timestamp()) END AS held"
    )
}

/// Limits the time for which the rest of the statement waits for a row.
pub(super) fn lock_timeout(limit: &str) -> String {
    format!("set_config('lock_timeout', {limit}, true) AS lock_timeout")
}

/// The rows, locked in one order everywhere, so that two statements never wait for each other.
pub(super) fn locked(table: &str, limit: &str) -> String {
    format!(
        "SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS taken \
         FROM {table} AS t, (SELECT {} OFFSET 0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE \"C\" \
         FOR UPDATE OF t",
        lock_timeout(limit)
    )
}

/// The rows of the names `$1` that no other transaction has locked.
pub(super) fn unlocked(table: &str) -> String {
    format!(
        "SELECT name, session, number, fence, queue, locked_until > clock_timestamp() AS taken FROM {table} \
         WHERE name = ANY($1) ORDER BY name COLLATE \"C\" FOR UPDATE SKIP LOCKED"
    )
}

/// What `columns` show of the rows `$1` that are not in `mine`, as they were before.
pub(super) fn skipped(columns: &str, table: &str) -> String {
    format!(
        "SELECT {columns} FROM {table} AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name = l.name)"
    )
}

/// Notifies who holds the lock since the fence was `before`, and where `notifies_first` says so the first waiter: until when the
/// lock is held, in microseconds from now, which may be sooner than it seemed. Without waiters it notifies nobody, for at its
/// commit a notification takes a lock of the whole database.
pub(super) fn handed_off(rows: &str, notifies_first: &str, channel: &str) -> String {
    format!(
        "SELECT pg_notify({channel}, payload) FROM {rows} CROSS JOIN LATERAL ( \
             SELECT format('turn %s %s %s', session, number, fence) AS payload WHERE fence > before AND session <> '{BESIDE}' \
             UNION ALL SELECT format('turn %s %s %s', w->>'s', w->>'n', w->>'f') FROM jsonb_array_elements(queue) AS w \
                 WHERE session = '{BESIDE}' AND (w->>'f')::bigint > before \
             UNION ALL ({})) AS notice WHERE {channel} IS NOT NULL",
        notice_to_wait(&format!("{notifies_first} OR fence > before"))
    )
}

/// What the first waiter is notified of, if `notifies` says so.
pub(super) fn notice_to_wait(notifies: &str) -> String {
    format!(
        "SELECT format('wait %s %s %s', w->>'s', w->>'n', greatest(0, (extract(epoch FROM \
             CASE WHEN session = '{BESIDE}' THEN (SELECT min((one->>'u')::timestamptz) FROM jsonb_array_elements(queue) AS one \
                  WHERE one ? 'f') ELSE locked_until END - clock_timestamp()) * 1000000)::bigint)) AS payload \
         FROM {} WHERE ({notifies}) AND NOT w ? 'f' ORDER BY place LIMIT 1",
        elements("queue")
    )
}
