//! The engine of the `distributed-locks` crate. Use that crate; this one has no promises of its own.

mod api;
mod contract;
mod engine;
pub mod stores;
#[cfg(feature = "testing")]
pub mod testing;
mod values;
mod world;

pub use api::call::FromLockError;
pub use api::global::{client, init, scoped};
pub use api::guard::{Guard, current};
pub use api::lock::Lock;
pub use api::locks::{Locks, Watch};
pub use values::error::{Error, ErrorKind};
pub use values::fence::Fence;
pub use values::holder::Holder;
pub use values::key::Key;
pub use values::options::{Mode, OnLost, Options};
pub use world::runtime::blocking;

/// Everything that a store of locks needs, in this crate or in one of its own.
///
/// What a store promises, and what it shows of its locks, are here too: [`Capabilities`](store::Capabilities),
/// [`Line`](store::Line), [`Change`](store::Change).
pub mod store {
    #[doc(inline)]
    pub use crate::api::connect::{Opener, register_scheme};
    pub use crate::contract::*;
    pub use crate::values::defaults::Defaults;
    pub use crate::values::mutex::Mutex;
    pub use crate::values::secret::{Credentials, Secret};
    pub use crate::values::url::StoreUrl;
    #[cfg(all(feature = "testing", feature = "etcd"))]
    pub use crate::world::EtcdDial;
    pub use crate::world::World;
    pub use crate::world::clock::Moment;
}

#[cfg(feature = "etcd")]
pub use etcd_client;

/// What the attribute's expansion names; not for people, and without promises.
#[doc(hidden)]
pub mod __private {
    pub use crate::api::call::{KeyValue, Site, call, call_blocking, client, key, key_of, skipped, value};
    pub use crate::api::guard::Guard;
    pub use crate::api::locks::Locks;
    pub use crate::values::error::Error;
    pub use crate::values::key::{Key, Piece};
    pub use crate::values::options::{Mode, OnLost, Options};
    pub use std::time::Duration;
}
