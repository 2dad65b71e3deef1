//! What a user has of a hold.

#[cfg(any(unix, feature = "etcd"))]
use crate::contract::NativeKind;
use crate::engine::acquire::{Acquired, Position};
use crate::engine::context::{self, Outer};
use crate::engine::hold::{Hold, Release, Released};
use crate::values::error::Error;
#[cfg(feature = "etcd")]
use crate::values::error::ErrorKind;
use crate::values::fence::Fence;
use crate::values::key::Key;
use crate::world::panic::with_contained_wakers;
use crate::world::runtime::note_thread;
use std::fmt;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A lock that is held.
///
/// [`release`](Guard::release) releases it; dropping the guard does so in the background. A hold may be lost before
/// that, when the store cannot be reached or the process was paused: call [`check`](Guard::check) before anything that
/// must not be done twice, await [`lost`](Guard::lost) beside long work, and pass [`fence`](Guard::fence) to whatever
/// the work writes to.
///
/// The guard that a locked function sees (by `guard = …` or [`current`]), and one that joined a hold that this task was
/// under already, does not own the hold: releasing or dropping it changes nothing, and the lock is released when the
/// body ends that it belongs to.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// let locks = distributed_locks::Locks::connect("memory:guard")?;
/// let guard = locks.lock("/report/weekly").acquire().await?;
/// // … the slow part …
/// guard.check()?; // `Lost` if another process may have it by now
/// // … what must not be done twice, with `guard.fence()` …
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a guard that is dropped at once releases the lock at once"]
pub struct Guard {
    hold: Arc<Hold>,
    owner: bool,
    /// The turn of a body that runs inside another one.
    turn: Option<Position>,
}

impl Guard {
    pub(crate) fn joining(hold: Arc<Hold>) -> Self {
        Self { hold, owner: false, turn: None }
    }

    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.owner
    }

    /// The body that runs under this guard.
    pub(crate) fn body(&self) -> Outer {
        let id = self.turn.as_ref().map_or_else(|| self.hold.position_id(), Position::id);
        Outer { hold: Arc::clone(&self.hold), id }
    }

    /// The lock's key; of several locks the first, in the order of their names.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.hold.key()
    }

    /// The keys of all its locks, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.hold.keys()
    }

    /// The fencing token of this hold: see [`Fence`] for how a resource uses it. Of several locks that of the
    /// [first](Guard::key).
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.hold.fence()
    }

    /// The fencing token for one of its locks, `None` if `key` is none of them. What one lock guards compares only that
    /// lock's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:fence_of")?;
    /// let guard = locks.lock_all(["/account/3", "/account/7"]).acquire().await?;
    /// let (from, to) = (guard.fence_of("/account/7"), guard.fence_of("/account/3"));
    /// assert!(from.is_some() && to.is_some() && guard.fence_of("/account/9").is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fence_of(&self, key: impl AsRef<str>) -> Option<Fence> {
        self.hold.fence_of(key.as_ref())
    }

    /// Whether the hold can still be proved. It looks at the clock and sends nothing to the store.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.loss().is_none()
    }

    /// [`is_held`](Guard::is_held) as an error, for `guard.check()?`.
    ///
    /// # Errors
    ///
    /// `Lost`, with the reason; `LimitPassed` after `hold_at_most`; `Closed` if the client was closed, or drained.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:check")?;
    /// let guard = locks.lock("/export").acquire().await?;
    /// guard.check()?;
    /// locks.close().await;
    /// let error = guard.check().unwrap_err();
    /// assert_eq!(error.kind(), distributed_locks::ErrorKind::Closed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        self.hold.check()
    }

    /// For how long the hold can still be proved if no renewal succeeds any more: what work that cannot be stopped at once has
    /// to end in. Renewals move it back to nearly [`ttl`](Guard::ttl); zero once the hold is over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:time_left")?;
    /// let guard = locks.lock("/export").ttl(Duration::from_secs(10)).acquire().await?;
    /// assert!(guard.time_left() > Duration::from_secs(5) && guard.time_left() < guard.ttl());
    /// locks.close().await;
    /// assert_eq!(guard.time_left(), Duration::ZERO);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.hold.time_left()
    }

    /// How long the lock outlives this process if it dies, as the store granted it: not less than was asked for.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.hold.ttl()
    }

    /// Duplicates of the open files whose kernel locks are this hold, in a `file:` store: as long as another process has one of
    /// them open, nobody else acquires the lock, even if this process is killed. A release frees the lock all the same. Such a
    /// hold is never handed off inside the process. On other stores there are none.
    ///
    /// # Errors
    ///
    /// `Lost` if the hold is over.
    #[cfg(unix)]
    pub fn descriptors(&self) -> Result<Vec<OwnedFd>, Error> {
        let NativeKind::Descriptors(files) = self.hold.bind()?.0 else { return Ok(Vec::new()) };
        let duplicates: std::io::Result<_> = files.iter().map(OwnedFd::try_clone).collect();
        duplicates.map_err(|error| {
            Error::unavailable("the lock's file cannot be duplicated; raise `ulimit -n`")
                .with_source(error)
                .with_key(self.key())
        })
    }

    /// Returns when the hold is over before it was released, with an error that says why: `Lost`, `LimitPassed` after
    /// `hold_at_most`, `Closed` if the client was closed, or drained. Never returns otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:lost")?;
    /// let guard = locks.lock("/export").acquire().await?;
    /// tokio::select! {
    ///     () = tokio::time::sleep(Duration::from_millis(10)) => {} // long work
    ///     error = guard.lost() => return Err(error),
    /// }
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lost(&self) -> Error {
        let reason = with_contained_wakers(self.hold.ended()).await;
        self.hold.lost_error(&reason)
    }

    /// Releases the lock, and returns once the store has acknowledged it, or the lock was handed off to the next waiter of
    /// this process.
    ///
    /// # Errors
    ///
    /// `Lost` if the hold was lost before: another may have held the lock since; so for `LimitPassed` and `Closed`.
    /// `Unavailable` if the store did not
    /// acknowledge in time; the release goes on in the background, and at the latest the TTL frees the lock.
    ///
    /// # Cancel safety
    ///
    /// The release is under way from the first poll; dropping the future does not stop it.
    pub async fn release(mut self) -> Result<(), Error> {
        if !std::mem::take(&mut self.owner) {
            return Ok(());
        }
        let released = match self.hold.begin_release().done() {
            Ok(released) => released,
            Err(release) => with_contained_wakers(self.hold.answer(release)).await,
        };
        match released {
            (Some(reason), _) => Err(self.hold.lost_error(&reason)),
            (None, left) => left,
        }
    }

    /// Begins to [`release`](Guard::release), with the reason why the hold had been lost before apart from the store's answer.
    pub(crate) fn end(mut self) -> Result<Released, Release> {
        if std::mem::take(&mut self.owner) { self.hold.begin_release().done() } else { Ok((self.hold.loss(), Ok(()))) }
    }

    /// A condition that is true in etcd exactly while this hold's entry exists, for the caller's own
    /// transaction: `Txn::new().when([guard.etcd_compare()?]).and_then([…])` commits only while the lock is held, whatever
    /// any clock says. Such a hold is never handed off inside the process: its entry ends with it. Needs the feature `etcd`.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the lock is not in etcd; `Lost` if the hold is over.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use distributed_locks::etcd_client::{Txn, TxnOp};
    ///
    /// let locks = distributed_locks::Locks::connect("etcd://localhost:2379")?;
    /// let guard = locks.lock("/config").acquire().await?;
    /// let write = TxnOp::put("/data/config", "new", None);
    /// let change = Txn::new().when([guard.etcd_compare()?]).and_then([write]);
    /// let was_held = locks.etcd_client().await?.txn(change).await?.succeeded();
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "etcd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "etcd")))]
    pub fn etcd_compare(&self) -> Result<etcd_client::Compare, Error> {
        match self.hold.bind()?.0 {
            NativeKind::EtcdCompare(compare) => Ok(*compare),
            _ => {
                Err(Error::new(ErrorKind::Unsupported, "this lock has no entry in etcd to compare")
                    .with_key(self.key()))
            }
        }
    }
}

#[doc(hidden)]
impl From<Acquired> for Guard {
    fn from(acquired: Acquired) -> Self {
        // Acquiring used all the locals that releasing on this thread will use.
        note_thread();
        match acquired {
            Acquired::Own(hold) => Self { hold, owner: true, turn: None },
            Acquired::Joined(hold, turn) => Self { hold, owner: false, turn },
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.owner {
            drop(self.hold.begin_release());
        }
    }
}

/// The guard of the innermost locked function that this task runs in, or `None` outside of one.
///
/// It does not own the hold: dropping it changes nothing. A task spawned inside a locked function is not in it.
///
/// # Examples
///
/// For code that is called by a locked function and must not be called by another:
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// async fn write() -> u64 {
///     let guard = distributed_locks::current().expect("only under the lock");
///     guard.fence().to_u64()
/// }
///
/// let locks = distributed_locks::Locks::connect("memory:current")?;
/// let fence = locks.lock("/account/7").run(async |_| write().await).await?;
/// assert!(fence > 0);
/// assert!(distributed_locks::current().is_none());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn current() -> Option<Guard> {
    context::innermost().map(Guard::joining)
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", self.key())
            .field("fence", &self.fence())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
