//! What every store must do: one list of cases, run unchanged on each of them.
//!
//! A case is chosen by what the store [claims](Capabilities), takes real time, and panics with what it saw. It makes
//! clients of its own, each over a store of its own, as other processes would be; afterwards it closes them, and then
//! nothing of it may be left in the store.
//!
//! | module | what it is about |
//! |---|---|
//! | `acquiring` | from free to held and back: busy, time-outs, panics, dropped futures |
//! | `waiting` | the queue: its order, who leaves it, who gets the lock next |
//! | `holding` | for how long: renewal, limits, closing, taking away |
//! | `exclusion` | many at once: two never hold, fences grow, nothing stays |
//! | `modes` | readers beside readers and not beside a writer |
//! | `permits` | so many holders at once and no more |
//! | `keys` | keys: which are one lock, which are two, which are none |
//! | `leading` | leader election: one leads at a time, everybody sees who, and the next one follows |
//! | `once` | what is done once: by one of all, remembered, and in the way of nothing |
//! | `hand_over` | a lock that one process acquires and another releases: by ticket, once, and nobody gets in between |
//! | `inspecting` | what the store shows: holders, waiters, records, changes |
//! | `contract` | [`Store`] and [`Session`](crate::contract::Session) asked directly: every call repeated, late, or in vain |
//!
//! # Examples
//!
//! The tests of a store, here for those cases only that are about keys:
//!
//! ```
//! # use locks_runtime as distributed_locks;
//! # mod store { pub use locks_runtime::{store::{Store, World}, stores::memory::Memory}; }
//! use distributed_locks::testing::conformance;
//! use std::sync::Arc;
//! use store::{Memory, Store, World};
//!
//! # #[tokio::main]
//! # async fn main() {
//! let store = Memory::new(&World::background().unwrap());
//! // Called for each client of a case: as many connections, or whatever the store is, to one store.
//! let open = move || Arc::new(store.clone()) as Arc<dyn Store>;
//! for case in conformance::cases(open().capabilities()) {
//!     if case.name().starts_with("keys::") {
//!         case.run(open.clone()).await;
//!     }
//! }
//! # }
//! ```
//!
//! With a runner that takes a list, such as `libtest-mimic`, each [`Case::name`] is a test, and they may run at once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case that fails panics, with what it saw")]
#![expect(clippy::disallowed_methods, reason = "the tasks of a case are an application's, not the engine's")]

use self::fixture::Fixture;
use crate::contract::{Capabilities, Store};
use crate::world::World;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A module's functions as cases, in lists under what each list needs.
macro_rules! list {
    ($module:ident: $($needs:expr => [$($name:ident),* $(,)?])*) => {
        pub(super) fn cases() -> Vec<super::Case> {
            vec![$($(super::Case {
                name: concat!(stringify!($module), "::", stringify!($name)),
                needs: $needs,
                body: |fixture| Box::pin($name(fixture)),
            }),*),*]
        }
    };
}

mod acquiring;
mod circles;
mod contract;
mod exclusion;
mod fixture;
mod hand_over;
mod holding;
mod inspecting;
mod keys;
mod leading;
mod modes;
mod once;
mod permits;
mod polling;
mod sessions;
mod several;
mod together;
mod waiting;

/// How long a case may take before it counts as hanging; most take milliseconds.
const LIMIT: Duration = Duration::from_secs(240);

/// One behaviour that a store must have.
pub struct Case {
    name: &'static str,
    needs: fn(Capabilities) -> bool,
    body: for<'a> fn(&'a Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl Case {
    /// `module::what_must_be_so`, unique in the list.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case on the store behind `open`, which makes one more connection to it at each call.
    ///
    /// It needs a tokio runtime with timers, and with I/O if the store does. Other cases, and programs with keys of
    /// their own, may use the store meanwhile: all keys of a case contain its name and a number of this run.
    ///
    /// # Panics
    ///
    /// If the store does not behave as the case says, or after four minutes.
    ///
    /// # Cancel safety
    ///
    /// What the case holds then stays in the store until this process ends, or for as long as it renews.
    pub async fn run(&self, open: impl Fn() -> Arc<dyn Store> + Send + Sync + 'static) {
        self.run_in(&World::background().unwrap(), open).await;
    }

    /// As [`run`](Case::run), for stores that live in `world`, such as a simulated one: the clients then do too.
    ///
    /// # Panics
    ///
    /// As [`run`](Case::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Case::run).
    pub async fn run_in(&self, world: &World, open: impl Fn() -> Arc<dyn Store> + Send + Sync + 'static) {
        let fixture = Fixture::new(world.clone(), self.name, Box::new(open));
        let whole = async {
            (self.body)(&fixture).await;
            fixture.finish().await;
        };
        assert!(tokio::time::timeout(LIMIT, whole).await.is_ok(), "hangs: not done after {LIMIT:?}");
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// The cases for a store of these capabilities.
#[must_use]
pub fn cases(capabilities: Capabilities) -> Vec<Case> {
    all().into_iter().filter(|case| (case.needs)(capabilities)).collect()
}

fn all() -> Vec<Case> {
    let modules = [
        acquiring::cases(),
        polling::cases(),
        waiting::cases(),
        holding::cases(),
        exclusion::cases(),
        modes::cases(),
        permits::cases(),
        keys::cases(),
        several::cases(),
        together::cases(),
        circles::cases(),
        leading::cases(),
        once::cases(),
        hand_over::cases(),
        inspecting::cases(),
        contract::cases(),
        sessions::cases(),
    ];
    modules.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::HashSet;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(super::Case::name).collect();
        assert_eq!(names.len(), cases.len());
    }
}
