//! Which locks a call requests, and as what.

use distributed_locks::store::Capabilities;
use distributed_locks::{Guard, Lock, Locks, Mode};
use serde::{Deserialize, Serialize};

use super::Flaw;
use crate::random::Random;

/// The locks that a call requests at one moment, and who else may hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Their keys, in the order in which they are asked for.
    pub keys: Vec<String>,
    /// Who else may hold them.
    pub mode: Mode,
}

/// Of which kinds the holds of a store can be, beside exclusive ones of one lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Readers beside readers.
    pub shared: bool,
    /// So many holders at most.
    pub permits: bool,
    /// Several locks at one moment.
    pub several: bool,
}

impl Kinds {
    /// All of them.
    pub const ALL: Self = Self { shared: true, permits: true, several: true };
}

impl Kinds {
    /// Of a store with these capabilities, at this URL. In a Redis Cluster the locks of the torture are in many slots.
    #[must_use]
    pub fn of(capabilities: Capabilities, url: &str) -> Self {
        let Capabilities { shared, permits, multi_key, .. } = capabilities;
        Self { shared, permits, several: multi_key && !url.contains("?cluster") }
    }
}

/// How many of a hundred calls ask for what, beside exclusive holds of one lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// As readers.
    pub shared: u64,
    /// For a permit.
    pub permits: u64,
    /// For several locks at one moment.
    pub several: u64,
}

impl Shares {
    /// Of what a store can.
    #[must_use]
    pub fn of(kinds: Kinds) -> Self {
        let Kinds { shared, permits, several } = kinds;
        let share = |can: bool, share| if can { share } else { 0 };
        Self { shared: share(shared, 28), permits: share(permits, 15), several: share(several, 12) }
    }

    /// Of a naive lock: most of what its flaw is about.
    #[must_use]
    pub fn of_flaw(flaw: Flaw) -> Self {
        match flaw {
            Flaw::PassedWriter => Self { shared: 60, permits: 5, several: 10 },
            Flaw::PermitCountedTwice => Self { shared: 5, permits: 75, several: 10 },
            Flaw::OneAfterAnother => Self { shared: 15, permits: 10, several: 40 },
            Flaw::NothingInLine => Self { shared: 35, permits: 35, several: 20 },
            _ => Self::default(),
        }
    }
}

impl Wanted {
    /// One lock, for nobody else.
    #[must_use]
    pub fn alone(key: &str) -> Self {
        Self { keys: vec![key.to_owned()], mode: Mode::Exclusive }
    }

    /// Whether it is one lock, for nobody else.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.mode == Mode::Exclusive && self.keys.len() == 1
    }

    /// The first lock.
    #[must_use]
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// The other locks.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        self.keys.iter().skip(1).cloned().collect()
    }

    /// As a lock of these clients, without options.
    pub fn of(&self, locks: &Locks) -> Lock {
        let lock = if let [key] = self.keys.as_slice() { locks.lock(key) } else { locks.lock_all(&self.keys) };
        lock.mode(self.mode)
    }

    /// The fences of a hold, in the order of the keys; 0 for a lock that it does not have.
    #[must_use]
    pub fn fences(&self, held: &Guard) -> Vec<u64> {
        self.keys.iter().map(|key| held.fence_of(key).map_or(0, distributed_locks::Fence::to_u64)).collect()
    }
}

/// Two or three of a semaphore: with some of each, both limits count in one line.
pub(crate) fn permits(random: &mut Random) -> Mode {
    Mode::Permits(if random.percent(50) { 2 } else { 3 })
}

/// The first and one or two of the others, in random order.
pub(crate) fn several(first: &str, others: &[String], random: &mut Random) -> Vec<String> {
    let mut others: Vec<String> = others.iter().filter(|other| *other != first).cloned().collect();
    random.shuffle(&mut others);
    others.truncate(if random.percent(50) { 1 } else { 2 });
    let mut keys: Vec<String> = [first.to_owned()].into_iter().chain(others).collect();
    random.shuffle(&mut keys);
    keys
}
