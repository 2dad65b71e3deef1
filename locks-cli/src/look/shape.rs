//! What is shown of a lock: as JSON, whose fields are documented in `docs/cli.md`, and in a table.

use crate::text;
use distributed_locks::store::{Line, Listed};
use distributed_locks::{Holder, Key};
use serde_json::{Value, json};
use std::time::Duration;

/// `{"key":…,"holders":[…],"waiters":[…]}`
pub(super) fn line(line: &Line) -> Value {
    json!({
        "key": line.key.as_str(),
        "holders": line.holders.iter().map(listed).collect::<Vec<_>>(),
        "waiters": line.waiters.iter().map(listed).collect::<Vec<_>>(),
    })
}

/// A lock without holder or waiters.
pub(super) fn free(key: &str) -> Value {
    json!({ "key": key, "holders": [], "waiters": [] })
}

fn listed(listed: &Listed) -> Value {
    let mut shown = holder(&listed.holder);
    let of_store = [
        // A number in JSON ends at 2^53.
        ("fence", listed.fence.map(|fence| fence.to_string().into())),
        ("since_ms", listed.since_ms.map(Value::from)),
        ("until_ms", listed.until_ms.map(Value::from)),
    ];
    if let Some(fields) = shown.as_object_mut() {
        let known = of_store.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        fields.extend(known);
    }
    shown
}

fn holder(holder: &Holder) -> Value {
    json!({
        "known": holder.is_known(),
        "name": holder.name,
        "origin": holder.origin,
        "host": holder.host,
        "pid": holder.pid,
        "instance": holder.instance,
        "mode": holder.mode,
        "permits": holder.permits,
        "requested_ms": holder.requested_at_ms,
        "labels": holder.labels,
        "detached": holder.detached,
        "adopted": holder.adopted,
        "remark": holder.remark,
    })
}

/// One line about a change.
pub(super) fn change(event: &str, key: &Key, whose: Option<&Holder>, as_json: bool) -> String {
    if as_json {
        return json!({ "event": event, "key": key.as_str(), "holder": whose.map(holder), "at_ms": text::wall_ms() })
            .to_string();
    }
    let by = whose.map_or_else(String::new, |whose| format!(" by {}", text::holder(whose)));
    format!("{} {event:<10} {}{by}", time_of_day(), text::safe(key.as_str()))
}

/// `13:07:02`, in UTC.
fn time_of_day() -> String {
    let now = std::time::UNIX_EPOCH + Duration::from_millis(text::wall_ms());
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    stamp.get(11..).unwrap_or_default().to_owned()
}

/// Of `ls`: key, mode, holder, for how long, lapses in, fence, how many wait.
pub(super) fn row(line: &Line) -> Vec<String> {
    let first = line.holders.first();
    let mode = match first {
        Some(first) if first.permits > 0 => format!("{}/{}", line.holders.len(), first.permits),
        Some(first) if line.holders.len() > 1 || first.mode == "shared" => format!("shared {}", line.holders.len()),
        Some(_) => "exclusive".to_owned(),
        None => "-".to_owned(),
    };
    let more = line.holders.len().saturating_sub(1);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    vec![
        text::safe(line.key.as_str()),
        mode,
        first.map_or_else(|| "-".to_owned(), |first| format!("{}{more}", text::holder(first))),
        first.map_or_else(|| "-".to_owned(), held_for),
        first.map_or_else(|| "-".to_owned(), lapses_in),
        first.and_then(|first| first.fence).map_or_else(|| "-".to_owned(), |fence| fence.to_string()),
        line.waiters.len().to_string(),
    ]
}

/// Of `show`: everybody in the line.
pub(super) fn places(line: &Line) -> Vec<Vec<String>> {
    let place = |place: String, one: &Listed| {
        let labels: Vec<_> =
            one.labels.iter().map(|(name, value)| format!("{}={}", text::safe(name), text::safe(value))).collect();
        let mode = if one.permits > 0 { format!("permit of {}", one.permits) } else { text::safe(&one.mode) };
        let fence = one.fence.map_or_else(|| "-".to_owned(), |fence| fence.to_string());
        vec![place, text::holder(one), mode, held_for(one), lapses_in(one), fence, labels.join(" ")]
    };
    let holders = line.holders.iter().map(|one| place("holds".to_owned(), one));
    let waiters = line.waiters.iter().enumerate().map(|(at, one)| place(format!("waits {}", at + 1), one));
    holders.chain(waiters).collect()
}

fn held_for(one: &Listed) -> String {
    match one.since_ms.or((one.requested_at_ms != 0).then_some(one.requested_at_ms)) {
        Some(since) => text::ago(since),
        None => "-".to_owned(),
    }
}

fn lapses_in(one: &Listed) -> String {
    match one.until_ms {
        Some(until) => text::length(Duration::from_millis(until.saturating_sub(text::wall_ms()))),
        None => "-".to_owned(),
    }
}
