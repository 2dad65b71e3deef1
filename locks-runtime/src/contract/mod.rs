//! The contract that a store of locks fulfils, and what stores have in common. Its rules are on the page of
//! [`store`](crate::store), by which name it is public.

mod async_session;
mod backoff;
#[cfg(any(feature = "etcd", feature = "redis", feature = "database"))]
pub(crate) mod batches;
mod capabilities;
mod changes;
#[cfg(feature = "database")]
pub(crate) mod database;
#[cfg(feature = "network")]
mod endpoint;
mod entry;
mod hand_over;
mod ledger;
mod line;
mod native;
mod pending;
pub mod poll;
mod renewal;
mod tls;
#[cfg(feature = "tls-client")]
pub(crate) mod tls_client;
#[cfg(feature = "tls-config")]
pub(crate) mod tls_config;
mod traits;

pub use crate::values::ticket::Detached;
pub use async_session::{AsyncSession, boxed};
pub use backoff::Backoff;
pub use capabilities::Capabilities;
pub use changes::{Reported, Seen};
#[cfg(feature = "network")]
pub(crate) use endpoint::{endpoint_parts, request_timeout};
pub use entry::{Entered, Entry, Grant, WhenBusy};
pub use hand_over::Detaching;
pub use ledger::{Ledger, Orphans};
pub use line::{Change, Line, Listed, Scope};
#[cfg(any(unix, feature = "etcd", feature = "server-facts"))]
pub(crate) use native::Kind as NativeKind;
pub use native::Native;
#[cfg(feature = "server-facts")]
pub(crate) use native::ServerFacts;
pub use pending::Pending;
pub use renewal::{Renewal, Uncovered};
pub use tls::{Identity, Pem, Tls};
pub(crate) use traits::cannot_hand_over;
pub use traits::{Session, Store};
