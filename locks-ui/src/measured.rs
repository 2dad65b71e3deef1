//! What `/metrics` has: figures of the store's locks as this page sees them. No key is a label.

use crate::clock::wall_ms;
use crate::snapshot::Snapshot;
use std::fmt::Write as _;

pub(crate) fn metrics(snapshot: &Snapshot, readers: usize) -> String {
    let now_ms = wall_ms();
    let lines = || snapshot.lines.values();
    let seconds = |since: Option<u64>| since.map_or(0.0, |since| ms_as_seconds(now_ms.saturating_sub(since)));
    let holders: usize = lines().map(|seen| seen.line.holders.len()).sum();
    let waiters: usize = lines().map(|seen| seen.line.waiters.len()).sum();
    let held = lines().filter(|seen| !seen.line.holders.is_empty()).count();
    let round_trip = snapshot.store.round_trip.unwrap_or_default().as_secs_f64();
    let gauges = [
        ("store_up", "Whether the store answers.", f64::from(u8::from(snapshot.store.away.is_none()))),
        ("round_trip_seconds", "How long the last answer took.", round_trip),
        ("held_locks", "Locks that somebody holds.", as_gauge(held)),
        ("holders", "Holds of all locks.", as_gauge(holders)),
        ("waiters", "Waiters for all locks.", as_gauge(waiters)),
        (
            "oldest_hold_seconds",
            "The age of the longest hold.",
            seconds(lines().filter_map(|seen| seen.held_since()).min()),
        ),
        (
            "oldest_wait_seconds",
            "The age of the longest wait.",
            seconds(lines().filter_map(|seen| seen.waited_since()).min()),
        ),
        ("readers", "Open streams of this page.", as_gauge(readers)),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        let _ = writeln!(
            text,
            "# HELP locks_page_{name} {help}\n# TYPE locks_page_{name} gauge\nlocks_page_{name} {value}"
        );
    }
    text
}

fn as_gauge(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn ms_as_seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
