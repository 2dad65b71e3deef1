//! What a store can promise.

/// What a store can promise. Each is claimed only with a test that it selects.
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::store::Capabilities;
///
/// let mut can = Capabilities::default(); // nothing
/// can.fencing = true;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact about a store")]
pub struct Capabilities {
    /// Fences grow with every hold of a key, across restarts of the store.
    pub fencing: bool,
    /// Waiters of all processes are served in the order they came.
    pub queue_order: bool,
    /// Entries outlive their process by the TTL. Otherwise they end with it.
    pub outlives_process: bool,
    /// [`Store::force_release`](super::Store::force_release) works.
    pub force_release: bool,
    /// The store notices by itself that an entry is gone ([`Session::removed`](super::Session::removed)).
    pub notices_removal: bool,
    /// [`Mode::Shared`](crate::Mode::Shared): readers beside each other.
    pub shared: bool,
    /// [`Mode::Permits`](crate::Mode::Permits): a limited number of holders beside each other.
    pub permits: bool,
    /// Several locks in one step: [`Entry::others`](super::Entry::others).
    pub multi_key: bool,
    /// What is done once is remembered: [`Session::mark_done`](super::Session::mark_done).
    pub once: bool,
    /// A hold is handed over to another process: [`Session::detach`](super::Session::detach).
    pub hand_over: bool,
}
