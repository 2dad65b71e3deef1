//! When to renew, and when it is over: arithmetic with `now` passed in.

use crate::world::World;
use crate::world::clock::Moment;
use std::time::Duration;

/// For how long after the store's grant a process may hand the lock off among its own waiters, while others wait. A few
/// times what a grant by the store takes, so that many short bodies are not slowed by asking the store each time.
pub(crate) const HAND_OFF_WITHIN: Duration = Duration::from_millis(10);

/// The first pause before a request is retried.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two attempts to acquire, or to release.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After how long a wait for a lock is reported.
#[must_use]
pub(crate) fn long_wait(ttl: Duration) -> Duration {
    ttl * 2
}

/// The moment after which a session can no longer be proved, if its last acknowledged renewal was sent at `sent`.
///
/// It counts from the send: the store's own count starts at the earliest then, and a reply may be late (Go's etcd
/// client counts from the reply). Two clocks may drift apart by 1 %, and stopping a body takes a margin.
#[must_use]
pub(crate) fn deadline(sent: Moment, ttl: Duration) -> Moment {
    sent + (ttl - reserve(ttl))
}

/// The time between a session's deadline and the end of its TTL: for the clocks to drift apart, and to stop the bodies
/// in before the store may give their locks to others.
#[must_use]
pub(crate) fn reserve(ttl: Duration) -> Duration {
    let margin = (ttl / 20).clamp(Duration::from_millis(20), Duration::from_millis(500)).min(ttl / 4);
    ttl / 100 + margin
}

/// How long after a renewal was sent the next one is: a third of the TTL, less up to a tenth of that as jitter.
#[must_use]
pub(crate) fn renew_after(world: &World, ttl: Duration) -> Duration {
    world.between(ttl / 3 - ttl / 30, ttl / 3)
}

/// A renewal that takes longer than this covers holds that have begun while it was under way.
pub(crate) fn slow_renewal(ttl: Duration) -> Duration {
    ttl / 20
}

/// `ttl`, or a little more: the next of four steps in each doubling (8 s, 10 s, 12 s, 14 s, 16 s, 20 s …), at most a quarter
/// longer. All the TTLs that a program may compute are a few sessions then.
#[must_use]
pub(crate) fn round_up(ttl: Duration) -> Duration {
    let mut whole = Duration::from_secs(1);
    while whole > ttl && whole > Duration::from_nanos(4) {
        whole /= 2;
    }
    while whole * 2 <= ttl {
        whole *= 2;
    }
    let mut rounded = whole;
    while rounded < ttl {
        rounded += whole / 4;
    }
    rounded
}

/// For how long a session without entries is kept, so that the next lock costs no new one.
#[must_use]
pub(crate) fn idle_limit(ttl: Duration) -> Duration {
    (ttl * 3).max(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
        range.prop_map(Duration::from_nanos)
    }

    const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;

    proptest! {
        /// The store starts to count when it sees the request, which is never before it was sent, on a clock that may
        /// run up to 1 % faster than ours.
        #[test]
        fn the_store_never_ends_a_session_first(sent in 0..YEAR, transit in 0..YEAR, ttl in nanos(1_000_000..YEAR)) {
            let sent = Moment::from_nanos(sent);
            let ours = deadline(sent, ttl);
            let store_seen = sent + Duration::from_nanos(transit);
            let by_a_fast_clock = store_seen + Duration::from_nanos(u64::try_from(ttl.as_nanos() * 100 / 101).unwrap());
            prop_assert!(ours < by_a_fast_clock, "{ours:?} {by_a_fast_clock:?}");
            prop_assert!(ours > sent);
        }

        #[test]
        fn a_rounded_ttl_is_at_most_a_quarter_longer_and_stays(ttl in nanos(1..YEAR)) {
            let rounded = round_up(ttl);
            prop_assert!(rounded >= ttl);
            prop_assert!(rounded <= ttl + ttl / 4 + Duration::from_nanos(4), "{ttl:?} {rounded:?}");
            prop_assert_eq!(round_up(rounded), rounded);
        }

        #[test]
        fn at_least_two_renewals_fit_before_the_deadline(ttl in nanos(1_000_000..YEAR)) {
            let sent = Moment::from_nanos(0);
            // The longest that `renew_after` can be.
            prop_assert!(sent + ttl / 3 * 2 < deadline(sent, ttl));
        }
    }

    #[test]
    fn what_is_kept_in_reserve_is_a_hundredth_and_a_margin() {
        for (ttl_ms, reserve_us) in
            [(60_000, 1_100_000), (10_000, 600_000), (1_000, 60_000), (100, 21_000), (40, 10_400)]
        {
            assert_eq!(reserve(Duration::from_millis(ttl_ms)), Duration::from_micros(reserve_us), "{ttl_ms} ms");
        }
    }

    #[test]
    fn a_renewal_is_due_after_a_third_of_the_ttl_or_a_little_earlier() {
        let (world, ttl) = (World::background().unwrap(), Duration::from_secs(3));
        let pauses: Vec<_> = (0..200).map(|_| renew_after(&world, ttl)).collect();
        assert!(pauses.iter().all(|pause| (ttl * 3 / 10..=ttl / 3).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "no jitter: {pauses:?}");
    }

    #[test]
    fn a_wait_is_long_after_two_ttls_and_a_session_is_idle_for_three_or_a_minute() {
        let seconds = Duration::from_secs;
        assert_eq!((long_wait(seconds(10)), long_wait(seconds(60))), (seconds(20), seconds(120)));
        assert_eq!((idle_limit(seconds(10)), idle_limit(seconds(30))), (seconds(60), seconds(90)));
    }

    #[test]
    fn a_ttl_below_a_second_is_rounded_by_steps_of_its_own() {
        assert_eq!(round_up(Duration::from_millis(100)), Duration::from_micros(109_375));
        // A step of the doubling itself, whose quarter is no whole number.
        assert_eq!(round_up(Duration::from_nanos(3_906_250)), Duration::from_nanos(3_906_250));
    }

    #[test]
    fn all_the_ttls_of_minutes_are_few() {
        let rounded: std::collections::BTreeSet<_> = (1..=300).map(|ttl| round_up(Duration::from_secs(ttl))).collect();
        assert!(rounded.len() <= 30, "{}: {rounded:?}", rounded.len());
        assert!([1, 2, 5, 10, 20, 40].iter().all(|ttl| rounded.contains(&Duration::from_secs(*ttl))), "{rounded:?}");
    }
}
