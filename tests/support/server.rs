//! What the servers of all stores have in common, as the tests see it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Deref;
use std::time::Duration;

use crate::daemon::Daemon;

/// How often a server has done each kind of work for its clients.
pub type Cost = BTreeMap<String, u64>;

/// A running server of a store. As a [`Daemon`] it can be paused, killed and started again; the methods here ask the
/// server by its own tools, and never by the code under test.
pub trait Server: Deref<Target = Daemon> + Debug + Send + Sync + 'static {
    /// Part of the error of a hold whose entry was deleted.
    const DELETED: &'static str;

    /// Whether a process that was forked from a client's can make clients of its own.
    const WORKS_AFTER_A_FORK: bool = true;

    /// Whether its locks have readers and permits.
    const HAS_MODES: bool = true;

    /// After which time without a renewal the store itself ends an entry with this TTL.
    fn lapses_after(ttl: Duration) -> Duration {
        ttl
    }

    /// What is left of the locks whose keys begin with `key`: at least an item for each holder and for each waiter.
    fn left(&self, key: &str) -> Vec<String>;

    /// The record of the holder of `key`, which has no waiters.
    fn record(&self, key: &str) -> String;

    /// For how long at the most the holder of `key`, which has no waiters, stays in the store if it is not renewed.
    fn lapse(&self, key: &str) -> Duration;

    /// Deletes the entry that holds `key`.
    fn delete(&self, key: &str);

    /// What clients have cost so far. What the tests themselves ask does not count.
    fn cost(&self) -> Cost;

    /// What clients have cost since `earlier`, without what has not been done at all.
    fn cost_since(&self, earlier: &Cost) -> Cost {
        let now = self.cost().into_iter();
        let since = now.map(|(work, count)| {
            let before = earlier.get(&work).copied().unwrap_or(0);
            (work, count - before)
        });
        since.filter(|(_, count)| *count > 0).collect()
    }
}
