//! What others wrote, made fit to be read; durations and moments for people.

use locks_runtime::Holder;
use locks_runtime::store::Shown;
use std::time::Duration;

/// The longest text that is shown of what others wrote, in characters.
const LONGEST: usize = 256;

/// `text` in one line, without what a reader does not see, or what changes the text around it.
///
/// Markup is no concern of this: a text is written as a text, whatever is in it.
pub(crate) fn safe(text: &str) -> String {
    Shown::new(text, LONGEST).to_string()
}

/// The same, not cut: for what has to be typed.
pub(crate) fn whole(text: &str) -> String {
    Shown::new(text, usize::MAX).to_string()
}

/// What the holder calls itself.
pub(crate) fn name(holder: &Holder) -> String {
    match (holder.is_known(), holder.name.is_empty()) {
        (true, false) => safe(&holder.name),
        (true, true) => "no name".to_owned(),
        (false, _) => "unknown holder".to_owned(),
    }
}

/// `host-3:4711`
pub(crate) fn place(holder: &Holder) -> String {
    if holder.is_known() { format!("{}:{}", safe(&holder.host), holder.pid) } else { String::new() }
}

/// A duration with two units at the most: `3m12s`, `2d4h`. The script of the page has the same.
pub(crate) fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    let two = |large: u64, unit: &str, small: u64, rest: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{rest}") }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// `12.3 ms`
pub(crate) fn round_trip(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

/// `13:07:02`, in UTC.
pub(crate) fn time_of_day(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A number with a separator for every three digits: `10,000`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_shown() {
        assert_eq!(safe("\u{1b}[2Ja\nb\u{202e}c"), "\\u{1b}[2Ja\\nb\\u{202e}c");
        assert_eq!(safe(&"é".repeat(300)).chars().count(), LONGEST + 1);
        assert_eq!(whole(&"é".repeat(300)).chars().count(), 300);
    }

    #[test]
    fn lengths_counts_and_moments_are_short() {
        let shown = |seconds: u64| length(seconds * 1_000);
        assert_eq!([shown(5), shown(192), shown(3_600), shown(190_000)], ["5s", "3m12s", "1h", "2d4h"]);
        assert_eq!([count(7), count(999), count(10_000), count(1_234_567)], ["7", "999", "10,000", "1,234,567"]);
        assert_eq!(time_of_day(1_790_000_000_000), "14:13:20");
    }
}
