//! The engine of the `distributed-locks` crate. Use that crate; this one has no promises of its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod contract;
mod engine;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod stores;
#[cfg(feature = "testing")]
pub mod testing;
mod values;
mod world;

pub use api::admin::Watch;
pub use api::call::FromLockError;
pub use api::drain::{DrainOnSignal, Drained, drain_on_signal};
pub use api::election::Election;
pub use api::global::{client, init, scoped};
pub use api::guard::{Guard, current};
pub use api::hand_over::Adopt;
pub use api::leaders::{Leader, Leaders};
pub use api::leadership::Leadership;
pub use api::lock::Lock;
pub use api::locks::Locks;
pub use api::once::{Once, Outcome};
#[cfg(feature = "postgres")]
pub use values::condition::PostgresCondition;
pub use values::done::Done;
pub use values::error::{Error, ErrorKind};
pub use values::fence::Fence;
pub use values::holder::{Holder, Under};
pub use values::key::Key;
pub use values::local::{LocalLock, LocalState};
pub use values::mode::Mode;
pub use values::options::{OnLost, Options};
pub use values::status::{SessionStatus, Status};
pub use values::ticket::Ticket;
pub use world::runtime::blocking;

/// The contract that a store of locks fulfils, and everything else that a store needs: for stores in crates of their own.
///
/// A [`Store`](store::Store) keeps locks; a [`Session`](store::Session) is its unit of liveness (an etcd lease, a set of
/// rows with one expiry): renewing it is one round trip for everything that this process holds with one TTL. An
/// [`Entry`](store::Entry) is one place in one lock's queue. Waiting belongs to the store; everything after the grant
/// (deadline, loss, release, drop, metrics) belongs to the engine, once.
///
/// # Rules
///
/// The conformance suite (feature `testing`) checks them:
/// - There are no default methods: a wrapper must not silently lose one.
/// - Futures own what they need (`'static`), and do all their work when polled, nothing when called.
/// - The engine runs every future that writes to its end, on the background runtime, and polls each once on the
///   caller's thread first, with that runtime entered. [`renew`](store::Session::renew),
///   [`wait_turn`](store::Session::wait_turn) and [`removed`](store::Session::removed) may be dropped, and
///   [`leave`](store::Session::leave) once the session is lost.
/// - Every call may be repeated: the answer may have been lost. An entry is the same entry if its
///   [`number`](store::Entry::number) is.
/// - An error of kind `Lost` says that the store has definitely forgotten the session or the entry; `Unavailable`
///   that nothing is known; `Unauthorized`, `InvalidKey` and `Unsupported` that asking again is useless.
/// - A store bounds each of its own requests in time; a call may take several of them, one for each endpoint.
/// - Time, randomness and background tasks come from the [`World`](store::World) that the store was made with, so that
///   a test can run it in simulated time.
///
/// Types that a later release will extend are `#[non_exhaustive]`. What is added to a request is only ever set where the
/// store [claims](store::Capabilities) to understand it.
///
/// # How to write one
///
/// 1. Implement [`AsyncSession`](store::AsyncSession) with `async fn`s, and [`Store`](store::Store), which hands out
///    sessions through [`boxed`](store::boxed).
/// 2. State in [`Capabilities`](store::Capabilities) only what it promises: each one selects cases of the suite.
/// 3. Run `testing::conformance` on it.
/// 4. Make clients of it by [`Locks::with_store`], or by URL after [`register_scheme`](store::register_scheme).
///
/// What stores usually need is here too: [`Ledger`](store::Ledger) (which of its entries a session has, and which
/// requests for them were never answered), [`Backoff`](store::Backoff), [`poll`](store::poll) (waiting where the store
/// cannot notify), [`Reported`](store::Reported) (the difference of two looks as changes). The repository's
/// `examples/own_store` is such a crate.
pub mod store {
    #[doc(inline)]
    pub use crate::api::connect::{Opener, register_scheme};
    pub use crate::contract::{
        AsyncSession, Backoff, Capabilities, Change, Detached, Detaching, Entered, Entry, Grant, Identity, Ledger,
        Line, Listed, Native, Orphans, Pem, Pending, Renewal, Reported, Scope, Seen, Session, Store, Tls, Uncovered,
        WhenBusy, boxed, poll,
    };
    pub use crate::values::defaults::Defaults;
    pub use crate::values::duration::parse as parse_duration;
    pub use crate::values::mode::Ahead;
    pub use crate::values::mutex::Mutex;
    pub use crate::values::secret::{Credentials, Secret};
    pub use crate::values::shown::Shown;
    pub use crate::values::url::StoreUrl;
    #[cfg(all(feature = "testing", feature = "etcd"))]
    pub use crate::world::EtcdDial;
    #[cfg(feature = "testing")]
    pub use crate::world::Gate;
    pub use crate::world::World;
    pub use crate::world::clock::Moment;
    #[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
    pub use crate::world::{Dialled, Stream, StreamDial};
    #[cfg(all(feature = "testing", feature = "mysql"))]
    pub use crate::world::{MysqlAnswer, MysqlAsked, MysqlConnection, MysqlDial, MysqlDialled};
}

#[cfg(feature = "etcd")]
pub use etcd_client;

/// What the attribute's expansion names; not for people, and without promises.
#[doc(hidden)]
pub mod __private {
    pub use crate::api::call::{
        KeyValue, Site, acquiring, call_blocking, key, key_of, keys, skipped, skipped_in, text, value,
    };
    pub use crate::api::campaign::Campaign;
    pub use crate::api::guard::Guard;
    pub use crate::api::kind::{AFuture, Kind, NoFuture, Other, RunsUnderTheLock, runs_under_the_lock};
    pub use crate::api::leadership::Leadership;
    pub use crate::api::length::{Count, Given, Length};
    pub use crate::api::locks::Locks;
    pub use crate::api::run::{Acquiring, Held, Run, run};
    pub use crate::values::error::Error;
    pub use crate::values::key::Key;
    pub use crate::values::mode::Mode;
    pub use crate::values::options::{OnLost, Options};
    pub use std::time::Duration;
}
