//! The contract that a store fulfils.
//!
//! A [`Backend`] is a store; a [`Session`] is its unit of liveness (an etcd lease, an open set of files): renewing it
//! is one round trip for everything that this process holds with one TTL. An [`Entry`] is one place in one lock's
//! line. Waiting belongs to the store; everything after the grant (deadline, loss, release, drop, metrics) belongs to
//! the engine, once.
//!
//! Rules for who implements it; the conformance suite (feature `testing`) checks them:
//! - There are no default methods: a wrapper must not silently lose one.
//! - Futures own what they need (`'static`), and do all their work when polled, nothing when called.
//! - The engine runs every future that writes to its end, on the background runtime, and polls each once on the
//!   caller's thread first, with that runtime entered. [`Session::renew`], [`Session::turn`] and [`Session::gone`] may
//!   be dropped, and [`Session::leave`] once the session is lost.
//! - Every call may be repeated: the answer may have been lost. An entry is the same entry if its
//!   [`number`](Entry::number) is.
//! - An error of kind `Lost` says that the store has definitely forgotten the session or the entry; `Unavailable`
//!   that nothing is known; `Unauthorized`, `InvalidKey` and `Unsupported` that asking again is useless.
//! - A store bounds each of its own requests in time; a call may take several of them, one for each endpoint.

use crate::error::Error;
use crate::holder::Holder;
use crate::key::Key;
use crate::options::Mode;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(unix)]
pub mod file;
pub mod memory;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
mod pause;
#[cfg(unix)]
mod poll;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
mod reach;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

/// For work that goes on beside a store's answers, such as a stream that many share.
pub(crate) use crate::runtime::beside;

/// A future of the contract: boxed, sendable, owning what it needs.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A store of locks.
pub trait Backend: fmt::Debug + Send + Sync {
    /// What the store can promise.
    fn capabilities(&self) -> Capabilities;

    /// Opens a session that the store ends by itself when it is not renewed for `ttl`, or for the shortest time
    /// that the store knows if that is longer. `Unsupported` if the longest that it knows is shorter.
    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>>;

    /// The locks in `scope` that have a holder or waiters, sorted by key, each with its line in order.
    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>>;

    /// Tells of every change to the locks in `scope` from now on. It ends when the receiver is dropped; a sender that
    /// is dropped means that the store cannot be watched any more.
    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>>;

    /// Takes the lock away from whoever holds it, and gives how many entries were removed. Waiters move up.
    fn force_release(&self, key: Key) -> Pending<usize>;

    /// Itself, for what only one store has (etcd's client).
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A store's unit of liveness. See the module's page for what all methods have in common.
pub trait Session: fmt::Debug + Send + Sync {
    /// How long the store keeps the session after a renewal: what it granted, not what was asked.
    fn ttl(&self) -> Duration;

    /// Keeps the session, with all its entries, for another TTL from the moment the request was sent.
    fn renew(&self) -> Pending<()>;

    /// Puts `entry` into the lock's line, or with [`Patience::Try`] takes the lock only if nobody is in the way.
    ///
    /// After `Busy` nothing of it is left in the store. After an error it may be there: the engine repeats the call
    /// or [leaves](Session::leave).
    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered>;

    /// Waits until an entry that is `Queued` holds the lock, and gives the store's fencing number.
    ///
    /// `Lost` if the entry or its session is gone meanwhile.
    fn turn(&self, entry: Arc<Entry>) -> Pending<u64>;

    /// From now on the lock stays taken for at least `least`, even if this process ends or the entry leaves.
    ///
    /// Called once, after the grant and before the body.
    fn keep(&self, entry: Arc<Entry>, least: Duration) -> Pending<()>;

    /// Takes the entry out of the line, wherever it stands; release and withdrawal are the same. Conditional on
    /// this very entry, and `Ok` when it is not there. A [kept](Session::keep) entry stays until its time is over,
    /// and then lapses by itself.
    fn leave(&self, entry: Arc<Entry>) -> Pending<()>;

    /// Ends only when the store shows that the entry is gone although it was not left, with an error that says how.
    /// A store that cannot know never ends it.
    fn gone(&self, entry: Arc<Entry>) -> Pending<std::convert::Infallible>;

    /// Ends the session and drops all its entries at once, kept ones apart.
    fn close(&self) -> Pending<()>;

    /// Itself, for what only one store has (etcd's `Compare`).
    fn as_any(&self) -> &dyn std::any::Any;
}

/// One place in one lock's line. Made before anything is sent, so that a repeated or unanswered request can be found.
#[derive(Debug)]
pub struct Entry {
    /// The lock.
    pub key: Key,
    /// Unique in this process; together with the session it names the entry.
    pub number: u64,
    /// Who asks; the store keeps it as JSON.
    pub holder: Arc<Holder>,
    /// Whether the hold may be shared.
    pub mode: Mode,
}

/// Whether to stand in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Take the lock if it is free, and leave nothing behind if it is not.
    Try,
    /// Stand in line.
    Wait,
}

/// The answer to [`Session::enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// The lock is held, with the store's fencing number.
    Held(u64),
    /// The entry stands in line: wait for its [turn](Session::turn).
    Queued,
    /// Somebody else holds the lock ([`Patience::Try`] only).
    Busy(Arc<Holder>),
}

/// Which locks a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One lock.
    Key(Key),
    /// Every lock whose key starts with this text; the empty one means all.
    Prefix(String),
}

impl Scope {
    /// Whether `key` is meant.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => wanted.as_str() == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

/// One lock and who stands at it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The lock.
    pub key: Key,
    /// Who holds it; empty for a moment when one has gone and the next has not come.
    pub holders: Vec<Holder>,
    /// Who waits, first in line first, where the store knows.
    pub waiters: Vec<Holder>,
}

impl Line {
    /// A line at `key`.
    #[must_use]
    pub fn new(key: Key, holders: Vec<Holder>, waiters: Vec<Holder>) -> Self {
        Self { key, holders, waiters }
    }
}

/// What happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Somebody holds it now.
    Acquired(Key, Holder),
    /// Nobody, or the next in line, holds it: released, withdrawn, lapsed or taken away, which the store does not tell.
    Released(Key),
}

/// What a store can promise. Each is claimed only with a test that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact about a store")]
pub struct Capabilities {
    /// Fences grow with every hold of a key, across restarts of the store.
    pub fencing: bool,
    /// Waiters of all processes are served in the order they came.
    pub queue_order: bool,
    /// Entries outlive their process by the TTL. Otherwise they end with it.
    pub outlives_process: bool,
    /// [`Backend::force_release`] works.
    pub force_release: bool,
    /// The store notices by itself that an entry is gone ([`Session::gone`]).
    pub notices_removal: bool,
    /// [`Mode`] may be shared.
    pub shared: bool,
    /// More than one holder at once.
    pub permits: bool,
    /// Several keys in one step.
    pub multi_key: bool,
}
