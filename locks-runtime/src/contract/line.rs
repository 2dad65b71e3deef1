//! What a store shows of its locks.

use crate::values::holder::Holder;
use crate::values::key::Key;

/// Which locks a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One lock.
    Key(Key),
    /// Every lock whose key starts with this text; the empty one means all.
    Prefix(String),
}

impl Scope {
    /// Whether `key` is meant.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => wanted.as_str() == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

/// One lock, its holders and its waiters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The lock.
    pub key: Key,
    /// Who holds it; empty for a moment when one has gone and the next has not come.
    pub holders: Vec<Holder>,
    /// Who waits, in order, where the store knows.
    pub waiters: Vec<Holder>,
}

impl Line {
    /// A line at `key`.
    #[must_use]
    pub fn new(key: Key, holders: Vec<Holder>, waiters: Vec<Holder>) -> Self {
        Self { key, holders, waiters }
    }
}

/// What happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It has a new holder.
    Acquired(Key, Holder),
    /// Its holder has gone: released, withdrawn, lapsed or removed by force, which the store does not distinguish.
    Released(Key),
}
