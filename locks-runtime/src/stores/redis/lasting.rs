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

/// Which locks a renewal prolongs.
#[derive(Debug)]
pub(super) struct Lasting {
    /// For how long the keys of these last from now on.
    pub(super) length: Duration,
    /// By their places.
    pub(super) is_prolonged: Vec<bool>,
}

impl Lasting {
    /// For a renewal that is sent at `now`, of locks whose keys last until then, as far as that is known.
    pub(super) fn of(ttl: Duration, now: Moment, until: &[Option<Moment>]) -> Self {
        let turns = until.len().div_ceil(ALL_OF).clamp(1, SELDOM);
        let further = u32::try_from(turns - 1).unwrap_or(0);
        // A tenth more, so that a renewal that is a little late is none too few.
        let length = if further == 0 { ttl } else { ttl + ttl / 3 * further + ttl / 10 };
        let must_last = now + ttl + ttl / 50;
        let mut places: Vec<usize> = (0..until.len()).collect();
        places.sort_by_key(|place| until[*place]);
        let share = until.len().div_ceil(turns);
        let mut is_prolonged = vec![false; until.len()];
        for (rank, place) in places.into_iter().enumerate() {
            is_prolonged[place] = rank < share || until[place].is_none_or(|until| until < must_last);
        }
        Self { length, is_prolonged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    /// Renews `count` locks until a minute has passed, each renewal `pause` after the last: for how long the keys last at
    /// most, and how many commands a second that is. Each has to last for a TTL after each renewal.
    fn minute(count: usize, pause: Duration) -> (Duration, usize) {
        let (mut now, mut until, mut longest, mut commands) =
            (Moment::from_nanos(1), vec![None; count], Duration::ZERO, 0);
        while now < Moment::from_nanos(60_000_000_000) {
            let lasting = Lasting::of(TTL, now, &until);
            for (place, is_prolonged) in lasting.is_prolonged.iter().enumerate() {
                if *is_prolonged {
                    until[place] = Some(now + lasting.length);
                    commands += usize::from(now > Moment::from_nanos(1));
                }
            }
            assert!(until.iter().all(|until| until.unwrap() >= now + TTL), "{count}");
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
    fn a_late_renewal_prolongs_what_would_not_last() {
        for late in [TTL * 2 / 5, TTL / 2, TTL * 9 / 10] {
            minute(10_000, late);
        }
    }
}
