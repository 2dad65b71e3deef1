//! What becomes of a row that is changed: who holds the lock then, and who waits for it.

use super::clauses::{ALIVE, BESIDE, HOLDS, KEPT, MICROS, elements, other_kind};

/// The row after a change: `held` is whether the holder releases it (NULL: by force, extended or not), `queue` what stays of
/// those `alive` in the queue; a hold that was extended stays if `keeps` says so.
///
/// A free lock goes to `acquirer`, if there is one and the queue is empty, without a detour through the queue; otherwise to
/// the first in the queue, for as long as that one was renewed for. If that one lets others hold beside it, all of them stay
/// in the queue, each with its fence as `f`, which it keeps. (`OFFSET 0` keeps what was found from being computed anew
/// wherever it is used.)
pub(super) fn settled(held: &str, keeps: &str, queue: &str, acquirer: Option<Acquirer>) -> String {
    let (free, Values { session, number, holder, until }) = match acquirer {
        Some(acquirer) => (format!("NOT taken AND alive = '[]' AND {}", acquirer.is_alone), acquirer.values),
        None => ("false".to_owned(), Values::NONE),
    };
    let granted = format!(
        "SELECT jsonb_agg(CASE WHEN w ? 'f' OR NOT ({HOLDS}) THEN w ELSE w || jsonb_build_object('f', base + place - 1) END \
              ORDER BY place) FROM (SELECT {} AS other OFFSET 0) AS kind, {}",
        other_kind("line"),
        elements("line")
    );
    format!(
        "(fence, session, number, holder, locked_until, keep_until, queue) = (SELECT \
             CASE WHEN direct OR next IS NOT NULL THEN base \
                  WHEN beside AND granted <> line THEN base + jsonb_array_length(line) - 1 ELSE l.fence END, \
             CASE WHEN direct THEN {session} WHEN next IS NOT NULL THEN next->>'s' WHEN beside THEN '{BESIDE}' \
                  WHEN kept THEN replace(l.session, '{KEPT}', '') || '{KEPT}' WHEN taken THEN l.session END, \
             CASE WHEN direct THEN {number} WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, \
             CASE WHEN direct THEN {holder} WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, \
             CASE WHEN direct THEN {until} WHEN next IS NOT NULL THEN (next->>'u')::timestamptz \
                  WHEN beside THEN (SELECT max((w->>'u')::timestamptz) FROM jsonb_array_elements(granted) AS w WHERE w ? 'f') \
                  WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE least(l.locked_until, now) END, \
             CASE WHEN next IS NULL AND taken THEN l.keep_until END, \
             CASE WHEN beside THEN granted WHEN next IS NULL THEN line ELSE line - 0 END \
         FROM (SELECT now, greatest(l.fence + 1, {MICROS}) AS base FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) AS clock \
         CROSS JOIN LATERAL (SELECT {held} AS held OFFSET 0) AS own \
         CROSS JOIN LATERAL (SELECT coalesce(held AND {keeps} AND l.keep_until > now, false) AS kept) AS keeping \
         CROSS JOIN LATERAL (SELECT l.locked_until > now AND l.session IS DISTINCT FROM '{BESIDE}' \
             AND coalesce(NOT held OR kept, false) AS taken OFFSET 0) AS state \
         CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM {} WHERE {ALIVE}) AS living \
         CROSS JOIN LATERAL (SELECT {free} AS direct OFFSET 0) AS freedom \
         CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE {queue} END AS line OFFSET 0) AS settled \
         CROSS JOIN LATERAL (SELECT coalesce(NOT taken AND line->0 ? 'm', false) AS beside, \
             CASE WHEN NOT taken AND NOT line->0 ? 'm' THEN line->0 END AS next) AS first \
         CROSS JOIN LATERAL (SELECT CASE WHEN beside THEN ({granted}) END AS granted OFFSET 0) AS granting)",
        elements("l.queue")
    )
}

/// The entry that acquires a free lock for itself alone.
pub(super) struct Acquirer {
    /// Whether it lets nobody hold beside it.
    pub(super) is_alone: &'static str,
    pub(super) values: Values,
}

/// What it writes, as expressions.
pub(super) struct Values {
    pub(super) session: &'static str,
    pub(super) number: &'static str,
    pub(super) holder: &'static str,
    pub(super) until: &'static str,
}

impl Values {
    const NONE: Self = Self { session: "NULL", number: "NULL", holder: "NULL", until: "NULL" };
}
