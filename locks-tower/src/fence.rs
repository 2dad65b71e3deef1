//! What a handler sees of the lock that it runs under.

use distributed_locks::{Fence, Guard, Key};

/// The lock that a request is served under, in the request's extensions: for what the handler writes to, which refuses a smaller
/// fence. The whole [`Guard`] is [`distributed_locks::current()`] in the handler itself, not in tasks that it spawns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFence {
    key: Key,
    fence: Fence,
}

impl LockFence {
    pub(crate) fn of(guard: &Guard) -> Self {
        Self { key: guard.key().clone(), fence: guard.fence() }
    }

    /// The key that was made of the request.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The fencing token of this hold.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }
}
