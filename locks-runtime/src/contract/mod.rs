//! The contract that a store of locks fulfils, and what stores have in common. Its rules are on the page of
//! [`store`](crate::store), by which name it is public.

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
mod pending;
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
pub use pending::Pending;
pub use renewal::{Renewal, Uncovered};
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
pub use tls::{Identity, Pem, Tls};
pub use traits::{Session, Store};

/// Until every store has its world.
pub(crate) use crate::world::runtime::beside;

/// Until every store has the shared settings.
#[cfg(feature = "postgres")]
pub(crate) mod reach {
    pub(crate) use super::endpoint::{endpoint_parts as split, request_timeout as attempt};
    use crate::values::error::Error;

    pub(crate) fn check_pem(ca: Option<&Vec<u8>>, identity: Option<&(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        let own = identity.map(|(certificate, key)| super::Identity {
            certificate: certificate.clone(),
            key: crate::values::secret::Secret::new(key.clone()),
        });
        super::Tls { ca: ca.cloned(), identity: own, domain: None }.check()
    }
}
