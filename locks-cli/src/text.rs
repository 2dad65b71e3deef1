//! What others wrote, made fit for a terminal; durations and moments for people.

use distributed_locks::Holder;
use distributed_locks::store::Shown;
use std::time::Duration;

/// The longest text that is shown of what others wrote, in characters.
const LONGEST: usize = 256;

/// `text` in one line, without what a terminal obeys or a reader does not see.
pub(crate) fn safe(text: &str) -> String {
    Shown::new(text, LONGEST).to_string()
}

/// `report@host-3:4711 (src/report.rs:12)`
pub(crate) fn holder(holder: &Holder) -> String {
    let remark = holder.remark.as_deref().map(|remark| format!(": {}", safe(remark))).unwrap_or_default();
    if holder.is_known() {
        let [name, host, origin] = [&holder.name, &holder.host, &holder.origin].map(|text| safe(text));
        let state = if holder.detached { ", handed over and not adopted yet" } else { "" };
        format!("{name}@{host}:{} ({origin}){state}{remark}", holder.pid)
    } else {
        format!("an unknown holder{remark}")
    }
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0))
}

/// A duration with two units at the most: `3m12s`, `2d4h`.
pub(crate) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, unit: &str, small: u64, rest: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{rest}") }
    };
    match seconds {
        0 => format!("{}ms", length.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// What is said before a job that holds a lock is stopped by its terminal.
pub(crate) fn stopped(left: Option<Duration>) -> String {
    let left = left.map_or_else(String::new, |left| format!(" in {}", length(left)));
    format!("stopped: the lock lapses{left} unless the job is continued")
}

/// How long ago `since_ms` was, by this machine's clock.
pub(crate) fn ago(since_ms: u64) -> String {
    length(Duration::from_millis(wall_ms().saturating_sub(since_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(safe("\u{1b}[2Ja\nb\u{202e}c"), "\\u{1b}[2Ja\\nb\\u{202e}c");
        assert_eq!(safe(&"é".repeat(300)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn durations_are_short() {
        let shown = |seconds| length(Duration::from_secs(seconds));
        assert_eq!([shown(5), shown(192), shown(3_600), shown(190_000)], ["5s", "3m12s", "1h", "2d4h"]);
        assert_eq!(length(Duration::from_millis(250)), "250ms");
    }
}
