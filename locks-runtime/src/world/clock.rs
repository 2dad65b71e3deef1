//! The only room that reads a clock.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A moment on a clock, in nanoseconds from a start that is the clock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Later than every moment of a clock.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long from `earlier` to this moment; zero if it comes first.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A moment that another thread may read while it is moved.
#[derive(Debug)]
pub(crate) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    pub(crate) fn new(moment: Moment) -> Self {
        Self(AtomicU64::new(moment.0))
    }

    pub(crate) fn load(&self) -> Moment {
        Moment(self.0.load(Ordering::Acquire))
    }

    /// Sets it to any moment.
    pub(crate) fn store(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Release);
    }

    /// Moves it later, never earlier.
    pub(crate) fn advance(&self, moment: Moment) {
        self.0.fetch_max(moment.0, Ordering::AcqRel);
    }
}

/// A clock that only goes forward, and goes on while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// `CLOCK_BOOTTIME` where there is one. `std`'s monotonic clock stops during suspend on Linux
    /// (rust-lang/rust#87906), and a lease does not.
    Boot,
    /// The time of the tokio runtime that polls, which a test can pause.
    #[cfg(any(test, feature = "testing"))]
    Tokio(tokio::time::Instant),
}

impl Clock {
    /// A clock that follows tokio's paused time, for engines that run inside a test's own runtime.
    #[cfg(any(test, feature = "testing"))]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    #[must_use]
    pub(crate) fn of_this_runtime() -> Self {
        Self::Tokio(tokio::time::Instant::now())
    }

    /// The moment it is now.
    #[must_use]
    pub(crate) fn now(&self) -> Moment {
        match self {
            Self::Boot => Moment(boot_nanos()),
            #[cfg(any(test, feature = "testing"))]
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            Self::Tokio(start) => Moment(0) + tokio::time::Instant::now().duration_since(*start),
        }
    }

    /// Milliseconds since 1970 by the wall clock: for records that people read, never for a deadline.
    pub(super) fn wall_ms(&self) -> u64 {
        match self {
            Self::Boot => wall_ms(),
            // Repeatable, and recognisable as no real date.
            #[cfg(any(test, feature = "testing"))]
            Self::Tokio(_) => self.now().as_nanos() / 1_000_000 + 1,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Elsewhere the monotonic clock: on macOS and Windows it may stop during sleep, which docs/stores.md says.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn boot_nanos() -> u64 {
    use once_cell::sync::Lazy;
    static START: Lazy<std::time::Instant> = Lazy::new(std::time::Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 by the system's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_forward() {
        let before = Clock::Boot.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(Clock::Boot.now().since(before) >= Duration::from_millis(2));
    }
}
