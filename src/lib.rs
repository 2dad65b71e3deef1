//! One attribute makes a function a critical section across every process that shares a store.
//!
//! ```
//! use distributed_locks::distributed_lock;
//!
//! #[distributed_lock(key = "/cron/lock/{job}", ttl = 10)]
//! async fn run_job(job: &str) -> Result<(), distributed_locks::Error> {
//!     println!("nobody else runs {job} now");
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), distributed_locks::Error> {
//!     distributed_locks::init("memory:")?; // `etcd://host:2379`, or `file:///var/lock/app` for one machine
//!     run_job("nightly").await
//! }
//! ```
//!
//! # Which tool
//!
//! - [`distributed_lock`]: a whole function under a lock. Start here; its page lists every argument.
//! - [`Locks::lock`]: the same by hand, with a [`Guard`], where only a part of a function is critical.
//! - [`Fence`]: what a resource needs so that not even a paused process can write after its lock lapsed.
//! - [`blocking`]: for programs without an asynchronous runtime.
//! - [`scoped`]: another client for one test or tenant.
//!
//! # What is promised, and what is not
//!
//! Two bodies never run under one lock because of anything this crate does. A body whose lock can no longer be
//! proved held is dropped at its next await, before the store may give the lock to another. No lock in an asynchronous
//! network can stop code that does not await, a detached task, or a process paused at the wrong moment: use
//! the [`Fence`] there.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use locks_macros::distributed_lock;
pub use locks_runtime::{
    Error, ErrorKind, Fence, FromLockError, Guard, Holder, Key, Lock, Locks, Mode, OnLost, Options, Watch, blocking,
    client, current, init, scoped,
};

#[doc(inline)]
pub use locks_runtime::store;

/// The client crate of etcd, for transactions of your own: see [`Guard::etcd_compare`] and [`Locks::etcd_client`].
#[cfg(feature = "etcd")]
pub use locks_runtime::etcd_client;

#[cfg(feature = "testing")]
pub use locks_runtime::testing;

#[doc(hidden)]
pub use locks_runtime::__private;

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
