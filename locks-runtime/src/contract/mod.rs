//! The contract that a store of locks fulfils, and what stores have in common.
//!
//! A [`Store`] keeps locks; a [`Session`] is its unit of liveness (an etcd lease, an open set of files): renewing it
//! is one round trip for everything that this process holds with one TTL. An [`Entry`] is one place in one lock's
//! queue. Waiting belongs to the store; everything after the grant (deadline, loss, release, drop, metrics) belongs to
//! the engine, once.
//!
//! Rules for whoever implements it; the conformance suite (feature `testing`) checks them:
//! - There are no default methods: a wrapper must not silently lose one.
//! - Futures own what they need (`'static`), and do all their work when polled, nothing when called.
//! - The engine runs every future that writes to its end, on the background runtime, and polls each once on the
//!   caller's thread first, with that runtime entered. [`Session::renew`], [`Session::wait_turn`] and
//!   [`Session::removed`] may be dropped, and [`Session::leave`] once the session is lost.
//! - Every call may be repeated: the answer may have been lost. An entry is the same entry if its
//!   [`number`](Entry::number) is.
//! - An error of kind `Lost` says that the store has definitely forgotten the session or the entry; `Unavailable`
//!   that nothing is known; `Unauthorized`, `InvalidKey` and `Unsupported` that asking again is useless.
//! - A store bounds each of its own requests in time; a call may take several of them, one for each endpoint.
//! - Time, randomness and background tasks come from the [`World`](crate::world::World) that the store was made with,
//!   so that a test can run it in simulated time.
//!
//! Types that a later release will extend are `#[non_exhaustive]`. What is added to a request is only ever set where the
//! store [claims](Capabilities) to understand it.

mod async_session;
mod backoff;
mod capabilities;
mod changes;
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
mod endpoint;
mod entry;
mod ledger;
mod line;
mod native;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
pub(crate) mod pause;
pub mod poll;
mod renewal;
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
mod tls;
mod traits;

pub use async_session::{AsyncSession, boxed};
pub use backoff::Backoff;
pub use capabilities::Capabilities;
pub use changes::Holders;
#[cfg(any(feature = "etcd", feature = "zookeeper", feature = "postgres"))]
pub(crate) use endpoint::endpoint_parts;
#[cfg(any(feature = "etcd", feature = "redis", feature = "postgres"))]
pub(crate) use endpoint::request_timeout;
pub use entry::{Entered, Entry, Grant, WhenBusy};
pub use ledger::{Ledger, Orphans};
pub use line::{Change, Line, Scope};
#[cfg(feature = "etcd")]
pub(crate) use native::Kind as NativeKind;
pub use native::Native;
pub use renewal::{Renewal, Uncovered};
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
pub use tls::{Identity, Pem, Tls};
pub use traits::{Pending, Session, Store};

/// Until every store has its world.
pub(crate) use crate::world::runtime::beside;

/// Until every store has the shared settings.
#[cfg(any(feature = "etcd", feature = "redis", feature = "postgres"))]
pub(crate) mod reach {
    #[cfg(any(feature = "etcd", feature = "postgres"))]
    pub(crate) use super::endpoint::endpoint_parts as split;
    pub(crate) use super::endpoint::request_timeout as attempt;
    use crate::values::error::Error;

    pub(crate) fn check_pem(ca: Option<&Vec<u8>>, identity: Option<&(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        let own = identity.map(|(certificate, key)| super::Identity {
            certificate: certificate.clone(),
            key: crate::values::secret::Secret::new(key.clone()),
        });
        super::Tls { ca: ca.cloned(), identity: own, domain: None }.check()
    }
}
