//! For tests: locks whose store fails on demand, and the conformance suite that a store must pass.

use crate::api::locks::Locks;
use crate::contract::Store;
use crate::stores::memory::{Faults, Memory};
use crate::values::defaults::Defaults;
use crate::world::World;
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
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use distributed_locks::testing::TestStore;
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
    memory: Memory,
    world: World,
}

impl TestStore {
    /// An empty store, by the time of the runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let world = World::here();
        Self { memory: Memory::new(&world), world }
    }

    /// A new client, as another process would be.
    #[must_use]
    pub fn client(&self) -> Locks {
        client_in(&self.world, Arc::new(self.memory.clone()))
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

/// A client of any store that lives in `world`, which its store should live in too: with [`World::here`], in the runtime of
/// the test and by its time.
#[must_use]
pub fn client_in(world: &World, store: Arc<dyn Store>) -> Locks {
    client_at("", world, store)
}

/// The same, of a store whose URL is `place`: clients at different places are not taken for clients of one process.
#[must_use]
pub fn client_at(place: &str, world: &World, store: Arc<dyn Store>) -> Locks {
    Locks::new(store, Defaults { endpoint: place.to_owned(), ..Defaults::default() }, world.clone())
}
