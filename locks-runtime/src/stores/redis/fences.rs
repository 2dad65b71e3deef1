//! When the script has to look at the server's clock for a fence.
//!
//! Fences are counted, and at most a millisecond behind the server's clock, so that they grow although the server has
//! forgotten some. To look at the clock each time would be a tenth of what a lock costs the server. From the fences that it
//! was granted a client knows what that clock shows, or a little more; only if the count is below that, the script looks.

use crate::world::clock::Moment;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// So much a fence may stay behind.
const BEHIND: Duration = Duration::from_millis(1);
/// Nothing is known: no fence is greater.
const ALWAYS: &str = "9000000000000000";
const UNKNOWN: i64 = i64::MIN;

/// What is known of the server's clock: by how many microseconds it is ahead of ours, at most.
#[derive(Debug)]
pub(super) struct Fences(AtomicI64);

impl Default for Fences {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl Fences {
    /// The script has to look at the clock for a fence below this.
    pub(super) fn look_below(&self, now: Moment) -> String {
        match self.0.load(Ordering::Acquire) {
            UNKNOWN => ALWAYS.to_owned(),
            ahead => ahead.saturating_add(micros(now)).saturating_sub(micros_of(BEHIND)).max(0).to_string(),
        }
    }

    /// A request that was sent at `sent` was granted this fence.
    pub(super) fn granted(&self, sent: Moment, fence: u64) {
        let fence = i64::try_from(fence).unwrap_or(i64::MAX);
        self.0.fetch_max(fence.saturating_sub(micros(sent)), Ordering::AcqRel);
    }

    /// Another server may answer from now on, or one that has forgotten something.
    pub(super) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Release);
    }
}

fn micros(moment: Moment) -> i64 {
    micros_of(moment.since(Moment::from_nanos(0)))
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Moment {
        Moment::from_nanos(micros * 1000)
    }

    /// The server's clock is a million microseconds ahead.
    #[test]
    fn the_clock_is_looked_at_at_first_and_once_the_count_is_behind() {
        let fences = Fences::default();
        assert_eq!(fences.look_below(at(5)), ALWAYS);
        fences.granted(at(5000), 1_005_000);
        assert_eq!(fences.look_below(at(5000)), "1004000");
        assert_eq!(fences.look_below(at(15_000)), "1014000");
        // One that was only counted says less than is known.
        fences.granted(at(15_000), 1_005_001);
        assert_eq!(fences.look_below(at(15_000)), "1014000");
        fences.granted(at(15_000), 1_015_100);
        assert_eq!(fences.look_below(at(15_000)), "1014100");
        fences.forget();
        assert_eq!(fences.look_below(at(15_000)), ALWAYS);
    }

    #[test]
    fn no_fence_is_too_great_for_it() {
        let fences = Fences::default();
        fences.granted(at(0), u64::MAX);
        assert!(fences.look_below(at(u64::MAX / 2000)).parse::<u64>().is_ok());
    }
}
