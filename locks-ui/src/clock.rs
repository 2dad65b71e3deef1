//! The time of day, which what a store shows is compared with, and the time that a look takes.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// In milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the page")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// For intervals within one process.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the page")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Whole milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
