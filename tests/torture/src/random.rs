//! Random numbers that depend on the seed alone.

use std::time::Duration;

/// SplitMix64: small, good enough for choosing faults, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence for this seed and this name: each part of a run has a sequence of its own.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mixed = name.bytes().fold(seed, |mixed, byte| Self(mixed ^ u64::from(byte)).bits());
        Self(mixed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` up to, but not including, `end`.
    pub fn between(&mut self, least: u64, end: u64) -> u64 {
        least + self.bits() % (end - least).max(1)
    }

    /// A duration of `least` milliseconds up to, but not including, `end`.
    pub fn millis(&mut self, least: u64, end: u64) -> Duration {
        Duration::from_millis(self.between(least, end))
    }

    /// One of the items.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let count = u64::try_from(items.len()).unwrap_or(1);
        &items[usize::try_from(self.between(0, count)).unwrap_or(0)]
    }

    /// True with a chance of so many percent.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.between(0, 100) < chance
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.between(0, u64::try_from(last).unwrap_or(0) + 1);
            items.swap(last, usize::try_from(other).unwrap_or(0));
        }
    }
}
