//! For tests: locks whose store fails on demand, and the conformance suite that a backend must pass.

use crate::backend::Backend;
use crate::backend::memory::{Faults, Memory};
use crate::clock::Clock;
use crate::error::Error;
use crate::locks::{Defaults, Locks};
use crate::runtime::Runtime;
use std::sync::Arc;

pub mod conformance;

/// A store in memory whose clients run inside the test's own runtime and by its time, which may be paused.
///
/// With `#[tokio::test(start_paused = true)]` an hour of TTLs, renewals and losses takes milliseconds, and happens in
/// the same order every time.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), locks_runtime::Error> {
/// use locks_runtime::testing::TestStore;
/// use std::time::Duration;
///
/// let store = TestStore::new();
/// let guard = store.client().lock("job").ttl(Duration::from_secs(10)).acquire().await?;
/// store.faults().set_down(true);
/// guard.lost().await; // within 10 s of the test's time
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestStore {
    memory: Arc<Memory>,
    clock: Clock,
}

impl TestStore {
    /// An empty store, by the time of the runtime that this is called in.
    #[must_use]
    pub fn new() -> Self {
        let clock = Clock::of_this_runtime();
        Self { memory: Memory::new(clock), clock }
    }

    /// A new client, as another process would be.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn client(&self) -> Locks {
        let backend = Arc::new(Arc::clone(&self.memory));
        Locks::assemble(backend, Defaults::default(), Runtime::here(), self.clock)
    }

    /// What may be made to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.memory.faults()
    }

    /// How many sessions its clients have open: one for each client and TTL in use.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.memory.sessions()
    }

    /// Makes the store forget every session, as if no renewal had come for too long.
    pub fn expire_sessions(&self) {
        self.memory.expire_sessions();
    }
}

impl Default for TestStore {
    fn default() -> Self {
        Self::new()
    }
}

/// A client of any backend that runs inside the runtime that this is called in and by its time, as those of [`TestStore`].
///
/// # Panics
///
/// Outside of a tokio runtime.
#[must_use]
pub fn client_here(backend: Arc<dyn Backend>) -> Locks {
    Locks::assemble(backend, Defaults::default(), Runtime::here(), Clock::of_this_runtime())
}

/// A client of a backend that is not one of this crate's.
///
/// # Errors
///
/// `Unavailable` if the background thread cannot be started.
pub fn client_of(backend: Arc<dyn Backend>) -> Result<Locks, Error> {
    Locks::with_backend(backend, Defaults::default())
}
