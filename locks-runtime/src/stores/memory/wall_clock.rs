//! What the moments of the store are by the wall clock, for people.

use crate::world::clock::Moment;
use std::time::Duration;

/// By how much the wall clock may differ from what it was at earlier looks before it counts as set.
const SET: Duration = Duration::from_millis(100);

/// How the wall clock is ahead of that of [`Moment`]s: measured once, and again when somebody has set it, so that two looks show
/// one moment alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WallClock(Option<i128>);

impl WallClock {
    /// `now` is `wall_ms` milliseconds after 1970.
    pub(super) fn look(&mut self, now: Moment, wall_ms: u64) {
        let ahead = i128::from(wall_ms) - milliseconds(now);
        let is_set = |kept: i128| kept.abs_diff(ahead) > SET.as_millis();
        if self.0.is_none_or(is_set) {
            self.0 = Some(ahead);
        }
    }

    /// In milliseconds since 1970.
    pub(super) fn ms(self, moment: Moment) -> Option<u64> {
        u64::try_from(milliseconds(moment) + self.0?).ok()
    }
}

fn milliseconds(moment: Moment) -> i128 {
    i128::from(moment.as_nanos() / 1_000_000)
}
