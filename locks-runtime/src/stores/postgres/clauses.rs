//! What several statements have in common.

/// Microseconds since 1970: what a fence is at least, so that it grows even if the table is lost.
pub(super) const MICROS: &str = "(extract(epoch FROM now) * 1000000)::bigint";

/// What a row shows to an entry: who else holds the lock, for how long yet, and the entry's position in the queue.
pub(super) const SEEN: &str = "l.session, l.number, l.fence, \
    CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(l.holder, 65536) END AS holder, \
    (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds, \
    (SELECT place FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) \
     WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3) AS place";

/// Limits the time for which the rest of the statement waits for a row.
pub(super) fn lock_timeout(limit: &str) -> String {
    format!("set_config('lock_timeout', {limit}, true) AS lock_timeout")
}
