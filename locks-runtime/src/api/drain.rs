//! The end of a service: a client that takes nothing new, lets bodies end, and releases everything.

use super::global;
use super::locks::Locks;
use crate::engine::drain::{drain, left};
use crate::engine::life::Phase;
use crate::values::error::Error;
use crate::values::local::{LocalLock, Several};
use crate::world::panic::with_contained_wakers;
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

/// How a [drain](Locks::drain) ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// The locks that were not released: those whose bodies or guards are still there
    /// ([`Overrunning`](crate::LocalState::Overrunning)), and those whose release the store has not acknowledged
    /// ([`Releasing`](crate::LocalState::Releasing)). They lapse after the process has ended. Empty if all is well.
    pub left: Vec<LocalLock>,
}

impl Drained {
    /// Whether everything was released. If it was not, end the process with an exit code other than 0: something did not stop.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_complete() {
            true => f.write_str("all locks are released"),
            false => write!(f, "not released: {}", Several(&self.left)),
        }
    }
}

/// Waits for a signal, and for the drain that follows it.
pub type DrainOnSignal = Pin<Box<dyn Future<Output = Result<Drained, Error>> + Send>>;

impl Locks {
    /// Stops using locks, in good order, at the end of a service:
    ///
    /// 1. Nothing new is acquired: calls get `Closed`, whose text says that the service is stopping, and so do those that wait,
    ///    and candidates of elections. A body may still join the lock that it runs under.
    /// 2. Bodies may end by themselves for `grace`, and everything is renewed meanwhile. They learn of it by
    ///    [`stopping`](Locks::stopping).
    /// 3. Then the rest is stopped as by a loss, at the next await, with `Closed` and that reason: no loss, in metrics and events
    ///    neither. Guards are over as well.
    /// 4. Everything is released and the sessions are closed, so that nothing is left in the store but what
    ///    `hold_at_least` asked for.
    ///
    /// A lock whose body did not stop within a second (one that does not await, a plain `fn`, `on_lost = continue`), or whose guard
    /// is still there, is **not** released: two bodies would run under it. It is renewed for as long as the process lives, and is
    /// in [`Drained::left`]. So is what a store that cannot be reached has not acknowledged within `connect_timeout`.
    ///
    /// So it takes at most `grace`, a second and `connect_timeout`: less than your platform's own limit
    /// (`terminationGracePeriodSeconds`). It ends as soon as nothing is left. Whoever drains once more waits for the same end; the
    /// earliest end of all graces counts. [`close`](Locks::close) at any time ends it abruptly.
    ///
    /// # Cancel safety
    ///
    /// It goes on in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:drain")?;
    /// let guard = locks.lock("/report").acquire().await?;
    /// // … a signal; what is left of the report takes a moment …
    /// let (drained, released) = tokio::join!(locks.drain(Duration::from_secs(20)), guard.release());
    /// assert!(released.is_ok() && drained.is_complete(), "{drained}");
    /// let refused = locks.lock("/report").acquire().await.unwrap_err();
    /// assert_eq!(refused.kind(), distributed_locks::ErrorKind::Closed);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn drain(&self, grace: Duration) -> Drained {
        drain(&self.engine, grace).await;
        self.left()
    }

    /// What a drain has left by now; nothing in a forked child, which has none of it.
    fn left(&self) -> Drained {
        match self.engine.world.is_inherited() {
            true => Drained::default(),
            false => Drained { left: left(&self.engine) },
        }
    }

    /// Returns when the client is [drained](Locks::drain) or closed: for bodies that can end by themselves between two steps, and
    /// for leaders that give way at once and not after the grace.
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
    /// let locks = distributed_locks::Locks::connect("memory:stopping")?;
    /// let work = locks.leader("/leader/indexer").run(|_| async {
    ///     tokio::select! {
    ///         () = std::future::pending() => {} // the work
    ///         () = locks.stopping() => {}       // … and its good end
    ///     }
    /// });
    /// let (drained, led) = tokio::join!(locks.drain(Duration::from_secs(20)), work);
    /// assert!(drained.is_complete(), "{drained}");
    /// # let _ = led;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stopping(&self) {
        with_contained_wakers(self.engine.life.reached(Phase::Draining)).await;
    }

    /// Waits for SIGTERM or SIGINT (Ctrl-C), then [drains](Locks::drain) the client, and returns how that ended. Run it beside the
    /// service, and end the process when it returns.
    ///
    /// A second signal ends the grace at once, and a third one the waiting: it returns what is left by then.
    ///
    /// From this call on these signals do not end the process by themselves, even if the future is dropped. On Windows there is
    /// Ctrl-C alone.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the system gives the process no handler for them; `Closed`, at once, if the client is closed already, or
    /// the parent's of a forked process.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the waiting for signals; a drain that has begun goes on in the background.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use locks_runtime as distributed_locks;
    /// # async fn serve() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("file:///var/lock/app")?;
    /// tokio::select! {
    ///     () = serve() => {}
    ///     drained = locks.drain_on_signal(Duration::from_secs(20)) => println!("{}", drained?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_on_signal(&self, grace: Duration) -> DrainOnSignal {
        let listening = self.engine.check_goes_on().and_then(|()| {
            self.engine.world.signals().map_err(|error| {
                Error::unavailable("the process cannot handle signals; is it out of file descriptors?")
                    .with_source(error)
            })
        });
        let locks = self.clone();
        Box::pin(async move {
            let mut signals = listening?;
            signals.next().await;
            let mut drained = pin!(locks.drain(grace));
            tokio::select! {
                biased;
                drained = &mut drained => return Ok(drained),
                () = signals.next() => {}
            }
            let cut_short = async {
                let (_, drained) = tokio::join!(locks.drain(Duration::ZERO), drained);
                drained
            };
            tokio::select! {
                biased;
                drained = cut_short => Ok(drained),
                () = signals.next() => Ok(locks.left()),
            }
        })
    }
}

/// [`Locks::drain_on_signal`] of the client that locked functions use: the [global one](crate::client), or the scoped one of this
/// task. Call it after [`init`](crate::init), and before the service begins.
///
/// # Errors
///
/// As [`client`](crate::client), at once; and as [`Locks::drain_on_signal`].
///
/// # Cancel safety
///
/// As [`Locks::drain_on_signal`].
///
/// # Examples
///
/// ```no_run
/// # use locks_runtime as distributed_locks;
/// # async fn serve() {}
/// use std::process::ExitCode;
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> Result<ExitCode, distributed_locks::Error> {
///     distributed_locks::init("file:///var/lock/app")?;
///     let stopped = distributed_locks::drain_on_signal(Duration::from_secs(20));
///     tokio::select! {
///         () = serve() => Ok(ExitCode::SUCCESS),
///         drained = stopped => Ok(if drained?.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
///     }
/// }
/// ```
pub fn drain_on_signal(grace: Duration) -> DrainOnSignal {
    match global::client() {
        Ok(locks) => locks.drain_on_signal(grace),
        Err(error) => Box::pin(std::future::ready(Err(error))),
    }
}
