//! The engine of the `distributed-locks` crate. Use that crate; this one has no promises of its own.

mod acquire;
mod address;
pub mod backend;
mod call;
pub mod clock;
mod connect;
mod duration;
mod error;
mod fence;
mod global;
mod guard;
mod hold;
mod holder;
mod key;
mod lock;
mod locks;
mod observe;
mod options;
mod over;
mod queue;
mod random;
mod runtime;
mod schedule;
mod session;
mod standing;
#[cfg(feature = "testing")]
pub mod testing;

pub use call::FromLockError;
pub use error::{Error, ErrorKind};
pub use fence::Fence;
pub use global::{client, current, init, scoped};
pub use guard::Guard;
pub use holder::Holder;
pub use key::Key;
pub use lock::Lock;
pub use locks::{Locks, Watch};
pub use options::{Mode, OnLost, Options};
pub use runtime::blocking;

#[cfg(feature = "etcd")]
pub use etcd_client;

/// What the attribute's expansion names; not for people, and without promises.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{KeyValue, Site, call, call_blocking, client, key, key_of, skipped, value};
    pub use crate::error::Error;
    pub use crate::guard::Guard;
    pub use crate::key::{Key, Piece};
    pub use crate::locks::Locks;
    pub use crate::options::{Mode, OnLost, Options};
    pub use std::time::Duration;
}
