//! Randomness from the operating system, by way of the standard library.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// 64 random bits: SipHash under a key that the operating system chose for this thread.
#[must_use]
pub(crate) fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A duration between `low` and `high`, so that many clients do not act in step.
#[must_use]
pub(crate) fn between(low: Duration, high: Duration) -> Duration {
    let share = f64::from(u32::try_from(bits() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    low + high.saturating_sub(low).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_alike_and_all_are_within() {
        let seen: HashSet<u64> = (0..10_000).map(|_| bits()).collect();
        assert_eq!(seen.len(), 10_000);
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!((0..1000).all(|_| (low..=high).contains(&between(low, high))));
    }
}
