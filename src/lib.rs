//! One attribute makes a function a critical section across every process that shares a store.
//!
//! A cron job on three machines, which runs on one of them at each tick:
//!
//! ```
//! use distributed_locks::{Error, ErrorKind, distributed_lock};
//!
//! #[distributed_lock(key = "/cron/lock/{job}", wait = 0, hold_at_least = "30s")]
//! async fn run_job(job: &str) -> Result<(), Error> {
//!     println!("nobody else runs {job} now");
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     // `etcd://host:2379`, or `file:///var/lock/app` for one machine
//!     distributed_locks::init("memory:")?;
//!     match run_job("invoices").await {
//!         Err(busy) if busy.kind() == ErrorKind::Busy => println!("{busy}"),
//!         ended => ended?,
//!     }
//!     Ok(())
//! }
//! ```
//!
//! `wait = 0` skips where another process has the lock; without it the call waits for its turn. `hold_at_least` keeps the
//! lock taken for longer than the machines' clocks differ, though the job ends sooner.
//!
//! # Which tool
//!
//! - [`distributed_lock`]: a whole function under a lock. Start here; its page lists every argument.
//! - [`Locks::lock`]: the same by hand, with a [`Guard`], where only a part of a function is critical.
//! - [`leader`] and [`Locks::leader`]: of many processes one leads, the others see which, and the next one follows.
//! - [`Fence`]: what a resource needs so that not even a paused process can write after its lock lapsed.
//! - [`Error`]: why a function did not run, and who has the lock; [`ErrorKind`] says what to do.
//! - [`Guard::detach`] and [`Locks::adopt`]: one process acquires a lock, and another finishes the work under it.
//! - [`Locks::inspect`], [`Locks::list`], [`Locks::watch`]: who has which lock.
//! - [`blocking`]: for programs without an asynchronous runtime.
//! - [`drain_on_signal`]: a good end for a service; [`Locks::status`] for its readiness probe.
//! - `ui::Page` (feature `ui`): the locks of a cluster in a browser, live.
//! - [`scoped`]: another client for one test or tenant; the feature `testing` has a store that fails on demand.
//! - [`store`]: for a store of your own.
//!
//! # Stores
//!
//! | URL | feature | for |
//! |---|---|---|
//! | `etcd://a:2379,b:2379/namespace` | `etcd`, `etcd-tls` | many machines |
//! | `redis://host:6379/namespace` | `redis`, `redis-tls` | many machines; advisory without the [`Fence`] |
//! | `zookeeper://a:2181,b:2181/root` | `zookeeper`, `zookeeper-tls` | many machines |
//! | `kubernetes:///namespace` | `kubernetes` | pods of one cluster |
//! | `postgres://user:password@a/database` | `postgres`, `postgres-tls` | many machines that share a database |
//! | `mysql://user:password@a/database` | `mysql`, `mysql-tls` | the same, on MariaDB (MySQL 8 is not tested) |
//! | `file:///var/lock/app` | – | the processes of one machine |
//! | `memory:` | – | one process |
//!
//! [`Locks::connect`] has all parameters. The feature `metrics` adds counters, gauges and histograms.
//!
//! # What is promised, and what is not
//!
//! Two bodies never run under one lock because of anything this crate does. A body whose lock can no longer be
//! proved held is dropped at its next await, before the store may give the lock to another. No lock in an asynchronous
//! network can stop code that does not await, a detached task, or a process paused at the wrong moment: use
//! the [`Fence`] there.
//!
//! # More
//!
//! Pages in the repository: [arguments], [leader election], [stores], [when it fails], [testing], [the life of a service], [observing], [recipes],
//! [the page], [choosing], [coming from ShedLock, Redisson, …][coming from], [examples].
//!
//! [arguments]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/arguments.md
//! [leader election]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/leader.md
//! [stores]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/stores.md
//! [when it fails]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/when-it-fails.md
//! [testing]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/testing.md
//! [the life of a service]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/service.md
//! [observing]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/observing.md
//! [recipes]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/recipes.md
//! [the page]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/page.md
//! [choosing]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/choosing.md
//! [coming from]: https://github.com/distributed-locks/distributed-locks/blob/main/docs/coming-from.md
//! [examples]: https://github.com/distributed-locks/distributed-locks/blob/main/examples/README.md

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use locks_macros::{distributed_lock, leader};
pub use locks_runtime::{
    Adopt, Done, DrainOnSignal, Drained, Election, Error, ErrorKind, Fence, FromLockError, Guard, Holder, Key, Leader,
    Leaders, Leadership, LocalLock, LocalState, Lock, Locks, Mode, OnLost, Once, Options, Outcome, SessionStatus,
    Status, Ticket, Watch, blocking, client, current, drain_on_signal, init, scoped,
};

#[doc(inline)]
pub use locks_runtime::store;

/// The client crate of etcd, for transactions of your own: see [`Guard::etcd_compare`] and [`Locks::etcd_client`].
#[cfg(feature = "etcd")]
pub use locks_runtime::etcd_client;

#[cfg(feature = "postgres")]
pub use locks_runtime::PostgresCondition;

#[cfg(feature = "testing")]
pub use locks_runtime::testing;

/// A page that shows the locks of the store, live: by itself, or as a router in an axum application.
#[cfg(feature = "ui")]
#[cfg_attr(docsrs, doc(cfg(feature = "ui")))]
#[doc(inline)]
pub use locks_ui as ui;

#[doc(hidden)]
pub use locks_runtime::__private;

/// The examples of the README and of the pages in `docs`, compiled and, where they have a `main`, run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/arguments.md")]
    struct Arguments;
    #[doc = include_str!("../docs/leader.md")]
    struct LeaderElection;
    #[doc = include_str!("../docs/once.md")]
    struct OnceForAll;
    #[doc = include_str!("../docs/hand-over.md")]
    struct HandOver;
    #[doc = include_str!("../docs/stores.md")]
    struct Stores;
    #[doc = include_str!("../docs/mysql.md")]
    struct MariaDbAndMysql;
    #[cfg(all(feature = "etcd", feature = "postgres"))]
    #[doc = include_str!("../docs/when-it-fails.md")]
    struct WhenItFails;
    #[cfg(feature = "testing")]
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
    #[doc = include_str!("../docs/service.md")]
    struct Service;
    #[doc = include_str!("../docs/observing.md")]
    struct Observing;
    #[doc = include_str!("../docs/coming-from.md")]
    struct ComingFrom;
    #[cfg(feature = "ui")]
    #[doc = include_str!("../docs/page.md")]
    struct ThePage;
    #[doc = include_str!("../docs/recipes.md")]
    struct Recipes;
    #[doc = include_str!("../docs/choosing.md")]
    struct Choosing;
    #[doc = include_str!("../docs/comparison.md")]
    struct Comparison;
}
