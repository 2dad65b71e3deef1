//! How a client is: for probes, and for whoever wants to know what this process does.

use super::locks::Locks;
use crate::engine::{local, status};
use crate::values::error::Error;
use crate::values::local::LocalLock;
use crate::values::status::Status;
use std::time::Duration;

impl Locks {
    /// How the client is, without a request: whether its store answers, its sessions, and how much it holds and waits for. For
    /// readiness probes: [`Status::is_ready`].
    ///
    /// What it knows of the store it has from renewals, which come three times in each TTL while it has a session, and from
    /// [`ping`](Locks::ping).
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:status")?;
    /// let _guard = locks.lock("/report").acquire().await?;
    /// let status = locks.status();
    /// assert!(status.is_ready() && status.is_reachable == Some(true) && status.held == 1);
    /// locks.close().await;
    /// assert!(!locks.status().is_ready());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        status::status(&self.engine)
    }

    /// Asks the store something, and returns how long its answer took. It reads the queue of the lock `/ping`, which nobody need
    /// use.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it does not answer within `connect_timeout`; `Unauthorized` if it does, and this client may not read that.
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
    /// let locks = distributed_locks::Locks::connect("memory:ping")?;
    /// println!("the store answers after {:?}", locks.ping().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ping(&self) -> Result<Duration, Error> {
        self.engine.ping().await
    }

    /// Every lock that this client holds, waits for or releases, in the order in which they were asked for: which, since when,
    /// with how much time left, and from which place in the code. It asks the store nothing. A body that
    /// has joined the lock around it is not listed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:holds")?;
    /// let guard = locks.lock("/report").name("report").acquire().await?;
    /// let held = &locks.holds()[0];
    /// assert_eq!((held.keys[0].as_str(), held.fence), ("/report", Some(guard.fence())));
    /// println!("{held}"); // `/report` held for 12.0ms, by report (src/main.rs:7)
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn holds(&self) -> Vec<LocalLock> {
        local::locks(&self.engine)
    }
}
