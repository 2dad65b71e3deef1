//! Randomness: from the operating system, or for a simulation from a seed.

use std::hash::{BuildHasher, Hasher, RandomState};
#[cfg(feature = "testing")]
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where random bits come from.
#[derive(Clone, Debug)]
pub(super) enum Random {
    /// SipHash under a key that the operating system chose for this thread.
    System,
    /// `SplitMix64` (Steele, Lea, Flood 2014), shared by everything in one world.
    #[cfg(feature = "testing")]
    Seeded(Arc<AtomicU64>),
}

impl Random {
    #[cfg(feature = "testing")]
    pub(super) fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    /// 64 random bits.
    pub(super) fn bits(&self) -> u64 {
        match self {
            Self::System => RandomState::new().build_hasher().finish(),
            #[cfg(feature = "testing")]
            Self::Seeded(state) => {
                const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
                let mixed = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
                let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                mixed ^ (mixed >> 31)
            }
        }
    }

    /// A duration between `low` and `high`.
    pub(super) fn between(&self, low: Duration, high: Duration) -> Duration {
        let share = f64::from(u32::try_from(self.bits() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        low + high.saturating_sub(low).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_alike_and_all_are_within() {
        let seen: HashSet<u64> = (0..10_000).map(|_| Random::System.bits()).collect();
        assert_eq!(seen.len(), 10_000);
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!((0..1000).all(|_| (low..=high).contains(&Random::System.between(low, high))));
    }

    #[cfg(feature = "testing")]
    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let draw = |seed| {
            let random = Random::seeded(seed);
            (0..10).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
