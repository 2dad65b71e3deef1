//! The clock that all processes of this machine share, and that runs through suspend.

use std::time::Duration;

/// Nanoseconds since the machine booted.
pub type Nanos = u64;

/// The current time.
///
/// # Panics
///
/// Never: the clock is after 0 and ends in the year 2554.
#[must_use]
pub fn now() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A duration on this clock.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since `start`, as text.
#[must_use]
pub fn seconds(at: Nanos, start: Nanos) -> String {
    let signed = i128::from(at) - i128::from(start);
    let (sign, nanos) = if signed < 0 { ("-", -signed) } else { ("", signed) };
    format!("{sign}{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}
