//! For how long the keys of held locks last, and which of them a renewal prolongs.
//!
//! Each key is prolonged by a command of its own: of ten thousand, all at each renewal would be thousands of commands a
//! second. So the more locks a session holds, the longer their keys last, up to about twice the TTL, and the fewer of them
//! one renewal prolongs; at the others it only looks whether they are there. A key that is not prolonged has to last for a
//! TTL all the same, as the engine counts on it.

use crate::world::clock::Moment;
use std::time::Duration;

/// As many locks are prolonged at each renewal whatever they cost.
const ALL_OF: usize = 1000;
/// At one renewal of so many, at least, each lock is prolonged.
const SELDOM: usize = 4;

/// What one entry holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// How many locks: each has a key.
    pub(super) locks: usize,
    /// Until when their keys last, as far as that is known.
    pub(super) until: Option<Moment>,
}

/// Which holds a renewal prolongs.
#[derive(Debug)]
pub(super) struct Lasting {
    /// For how long the keys of these last from now on.
    pub(super) length: Duration,
    /// By their places.
    pub(super) is_prolonged: Vec<bool>,
}

impl Lasting {
    /// For a renewal that is sent at `now`, of these holds.
    pub(super) fn of(ttl: Duration, now: Moment, holds: &[Hold]) -> Self {
        let locks = holds.iter().map(|hold| hold.locks).sum::<usize>();
        let turns = locks.div_ceil(ALL_OF).clamp(1, SELDOM);
        let further = u32::try_from(turns - 1).unwrap_or(0);
        // A tenth more, so that a renewal that is a little late is none too few.
        let length = if further == 0 { ttl } else { ttl + ttl / 3 * further + ttl / 10 };
        let must_last = now + ttl + ttl / 50;
        let mut places: Vec<usize> = (0..holds.len()).collect();
        places.sort_by_key(|place| holds[*place].until);
        let (share, mut before) = (locks.div_ceil(turns), 0);
        let mut is_prolonged = vec![false; holds.len()];
        for place in places {
            let hold = &holds[place];
            is_prolonged[place] = before < share || hold.until.is_none_or(|until| until < must_last);
            before += hold.locks;
        }
        Self { length, is_prolonged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    /// Renews `count` holds of one lock until a minute has passed, each renewal `pause` after the last: for how long the keys
    /// last at most, and how many commands a second that is. Each has to last for a TTL after each renewal.
    fn minute(count: usize, pause: Duration) -> (Duration, usize) {
        minute_of_several(count, 1, pause)
    }

    /// The same of so many locks each.
    fn minute_of_several(count: usize, locks: usize, pause: Duration) -> (Duration, usize) {
        let (mut now, mut holds, mut longest, mut commands) =
            (Moment::from_nanos(1), vec![Hold { locks, until: None }; count], Duration::ZERO, 0);
        while now < Moment::from_nanos(60_000_000_000) {
            let lasting = Lasting::of(TTL, now, &holds);
            for (hold, is_prolonged) in holds.iter_mut().zip(lasting.is_prolonged) {
                if is_prolonged {
                    hold.until = Some(now + lasting.length);
                    commands += if now > Moment::from_nanos(1) { locks } else { 0 };
                }
            }
            assert!(holds.iter().all(|hold| hold.until.unwrap() >= now + TTL), "{count}");
            longest = longest.max(lasting.length);
            now = now + pause;
        }
        (longest, commands / 60)
    }

    #[test]
    fn up_to_a_thousand_are_prolonged_at_each_renewal_for_a_ttl() {
        for count in [1, 1000] {
            let (longest, commands) = minute(count, TTL / 3);
            assert_eq!(longest, TTL);
            assert!(commands <= count * 3 / 10, "{count}: {commands}");
        }
    }

    #[test]
    fn ten_thousand_are_less_than_a_thousand_commands_a_second() {
        for pause in [TTL * 3 / 10, TTL / 3] {
            let (longest, commands) = minute(10_000, pause);
            assert!(longest <= TTL * 22 / 10 && commands <= 850, "{longest:?}, {commands}");
        }
        assert!(minute(2500, TTL / 3).0 < TTL * 2);
    }

    #[test]
    fn holds_of_several_locks_cost_as_much_as_so_many_locks() {
        for (count, locks) in [(60, 16), (625, 16), (1250, 8)] {
            let (longest, commands) = minute_of_several(count, locks, TTL / 3);
            let (longest_of_one, commands_of_one) = minute(count * locks, TTL / 3);
            assert_eq!(longest, longest_of_one, "{count} of {locks}");
            assert!(commands.abs_diff(commands_of_one) <= commands_of_one / 20, "{commands}, not {commands_of_one}");
        }
    }

    #[test]
    fn a_late_renewal_prolongs_what_would_not_last() {
        for late in [TTL * 2 / 5, TTL / 2, TTL * 9 / 10] {
            minute(10_000, late);
        }
    }
}
