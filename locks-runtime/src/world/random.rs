//! Randomness: from the operating system, or for a simulation from a seed.

use super::clock::Clock;
use std::hash::{BuildHasher, Hasher, RandomState};
#[cfg(feature = "testing")]
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where random bits come from.
#[derive(Clone, Debug)]
pub(super) enum Random {
    /// The operating system's, asked each time: what a process remembers of it, a fork would double.
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
            Self::System => system_bits(),
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

/// 64 bits of the operating system.
fn system_bits() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut bits = [0; 8];
        // It is refused in sandboxes that do not know it.
        if let Ok(8) = rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty()) {
            return u64::from_ne_bytes(bits);
        }
    }
    remembered_bits()
}

/// SipHash under a key that the operating system chose once for this thread, of what no other process has at the same moment.
fn remembered_bits() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(Clock::Boot.now().as_nanos());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_alike_and_all_are_within() {
        for draw in [system_bits, remembered_bits] {
            let seen: HashSet<u64> = (0..10_000).map(|_| draw()).collect();
            assert_eq!(seen.len(), 10_000);
        }
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
