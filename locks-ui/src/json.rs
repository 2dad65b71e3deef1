//! Locks as JSON, with the fields of `locks ls --json`, which `docs/cli.md` lists.

use crate::snapshot::Snapshot;
use crate::view::{Selection, View};
use locks_runtime::store::{Line, Listed};
use serde_json::{Value, json};

/// All that `locks.json` has.
pub(crate) fn list(snapshot: &Snapshot, selection: &Selection, view: &View) -> Value {
    json!({
        "seen_ms": snapshot.seen_ms,
        "away": snapshot.store.away.as_ref().map(|(since_ms, why)| json!({ "since_ms": since_ms, "text": why })),
        "prefix": view.prefix,
        "total": selection.total,
        "before": selection.before,
        "locks": selection.shown.iter().map(|seen| line(&seen.line)).collect::<Vec<_>>(),
    })
}

fn line(line: &Line) -> Value {
    json!({
        "key": line.key.as_str(),
        "holders": line.holders.iter().map(listed).collect::<Vec<_>>(),
        "waiters": line.waiters.iter().map(listed).collect::<Vec<_>>(),
    })
}

fn listed(listed: &Listed) -> Value {
    let mut shown = json!({
        "known": listed.is_known(),
        "name": listed.name,
        "origin": listed.origin,
        "host": listed.host,
        "pid": listed.pid,
        "instance": listed.instance,
        "mode": listed.mode,
        "permits": listed.permits,
        "requested_ms": listed.requested_at_ms,
        "labels": listed.labels,
        "remark": listed.remark,
    });
    let of_store = [
        // A number in JSON ends at 2^53.
        ("fence", listed.fence.map(|fence| Value::from(fence.to_string()))),
        ("since_ms", listed.since_ms.map(Value::from)),
        ("until_ms", listed.until_ms.map(Value::from)),
    ];
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(of_store.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    shown
}
