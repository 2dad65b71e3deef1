//! How two processes agree until when a lock stays taken.

use crate::world::World;
use std::time::Duration;

/// The length of a boot id.
pub(super) const TIMELINE_WIDTH: usize = 36;

/// The longest time that is believed; [`Options`](crate::Options) allows a year.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// A moment until which a lock counts as taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    /// Whose clock it is on: another boot's moments mean nothing.
    pub timeline: String,
    /// Nanoseconds on that clock.
    pub until: u64,
}

/// The clock that all processes on this machine share, until it is started again.
///
/// It is the boot clock, named by the kernel's boot id. Where there is no boot id to distinguish one boot from the next
/// (anywhere but on Linux) it is the wall clock, which a person can set: an extended lock may then be free too soon, or late.
#[derive(Debug)]
pub(super) struct Timeline {
    name: String,
    world: World,
    has_boot_clock: bool,
}

impl Timeline {
    pub(super) fn new(world: &World) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot_id = boot_id.trim();
        if boot_id.len() == TIMELINE_WIDTH && boot_id.is_ascii() {
            Self { name: boot_id.to_owned(), world: world.clone(), has_boot_clock: true }
        } else {
            Self { name: format!("{:-<TIMELINE_WIDTH$}", "wall-clock"), world: world.clone(), has_boot_clock: false }
        }
    }

    /// The moment that is `least` from now.
    pub(super) fn after(&self, least: Duration) -> Extension {
        let least = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
        Extension { timeline: self.name.clone(), until: self.now().saturating_add(least) }
    }

    /// How long until then; `None` if it is over, was before the machine was last started, or cannot be true.
    pub(super) fn left(&self, extension: &Extension) -> Option<Duration> {
        let left = Duration::from_nanos(extension.until.saturating_sub(self.now()));
        (extension.timeline == self.name && !left.is_zero() && left <= LONGEST).then_some(left)
    }

    fn now(&self) -> u64 {
        match self.has_boot_clock {
            true => self.world.now().as_nanos(),
            false => self.world.wall_ms().saturating_mul(1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_known_on_its_own_timeline_only() {
        let here = Timeline::new(&World::background().unwrap());
        let extension = here.after(Duration::from_secs(60));
        assert!(here.left(&extension).is_some_and(|left| left > Duration::from_secs(50)));
        let elsewhere = Extension { timeline: "0".repeat(TIMELINE_WIDTH), ..extension };
        assert_eq!(here.left(&elsewhere), None);
    }

    #[test]
    fn what_is_over_or_absurd_does_not_count() {
        let here = Timeline::new(&World::background().unwrap());
        assert_eq!(here.left(&here.after(Duration::ZERO)), None);
        assert_eq!(here.left(&here.after(Duration::MAX)), None);
    }

    #[test]
    fn without_a_boot_id_the_wall_clock_serves() {
        let wall =
            Timeline { name: "-".repeat(TIMELINE_WIDTH), world: World::background().unwrap(), has_boot_clock: false };
        assert!(wall.left(&wall.after(Duration::from_secs(9))).is_some());
    }
}
