//! A last look at a hold, before what cannot be undone.

use super::guard::Guard;
use crate::values::error::Error;
use crate::world::panic::with_contained_wakers;
use std::time::Duration;

impl Guard {
    /// Asks the store whether this very hold is still there: for a last look before what cannot be undone, where
    /// [`check`](Guard::check), which asks the clock, is not enough. Somebody may have released the lock by force, or an
    /// administrator may have deleted its entry, and this process may not have heard of it yet.
    ///
    /// It costs one read for each of its locks, [which differs by store](https://github.com/distributed-locks/distributed-locks/blob/main/docs/service.md#a-last-look).
    /// It says how things were when the store answered. Between that and the next step there is time: what must not be done by a
    /// holder that has lost the lock carries the [`fence`](Guard::fence).
    ///
    /// # Errors
    ///
    /// `Lost` if the store has it no more: the hold is over then, and its body is stopped. `Unavailable` if the store does not
    /// answer: nothing is known, and the hold goes on. As [`check`](Guard::check) if it was over before.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:confirm")?;
    /// let guard = locks.lock("/payout/7").acquire().await?;
    /// guard.confirm().await?; // … and then the payout, with `guard.fence()`
    /// locks.force_release("/payout/7").await?;
    /// assert_eq!(guard.confirm().await.unwrap_err().kind(), distributed_locks::ErrorKind::Lost);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn confirm(&self) -> Result<(), Error> {
        with_contained_wakers(self.hold().confirm()).await
    }

    /// Renews the lock now, and returns for how long it can be proved from here on: nearly a [`ttl`](Guard::ttl), in which what
    /// cannot be stopped has to end. Renewals happen by themselves; this is for who needs the longest time that there is.
    ///
    /// It costs one renewal, of all the locks that this process holds with the same TTL. Whoever asks at the same time shares it.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the store has not acknowledged it within `connect_timeout`, or has not renewed this lock: the hold goes on
    /// until its deadline. `Lost`, as [`check`](Guard::check).
    ///
    /// # Cancel safety
    ///
    /// The renewal goes on in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:renew")?;
    /// let guard = locks.lock("/payout/7").ttl(Duration::from_secs(30)).acquire().await?;
    /// let left = guard.renew().await?;
    /// assert!(left > Duration::from_secs(20), "{left:?} for what comes now");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn renew(&self) -> Result<Duration, Error> {
        with_contained_wakers(self.hold().renew()).await
    }
}
