//! A lock that one process acquires and another releases.

use super::guard::Guard;
use super::locks::Locks;
use crate::engine::acquire::Acquired;
use crate::engine::core::Engine;
use crate::engine::hand_over::adopt;
use crate::engine::request::Caller;
use crate::values::error::{Error, ErrorKind};
use crate::values::ticket::Ticket;
use crate::world::panic::with_contained_wakers;
use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

impl Guard {
    /// Hands the lock over: it stays taken for `ttl`, whatever becomes of this process, and whoever has the ticket may
    /// [adopt](Locks::adopt) it until then. If nobody does, it lapses.
    ///
    /// This hold is over before the store is asked: what it protects must not be touched any more. Who waits for the lock goes on to
    /// wait. `ttl` has to be enough for the ticket's way; etcd counts whole seconds, at least two, and ZooKeeper has limits of its own.
    ///
    /// # Errors
    ///
    /// The lock is released after each of them, or lapses.
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Lost`, `LimitPassed`, `Closed` | the hold was over before |
    /// | `InvalidOption` | `ttl` is 0, more than a year, or more than the store can keep |
    /// | `Unsupported` | the store cannot hand over (`file:`, and ShedLock's table); the lock is shared, a permit, several, a leader's, or has `hold_at_least`; its `etcd_compare`, `postgres_condition` or `descriptors` were asked for; or the guard does not own the hold, as those of locked functions: acquire the lock by hand |
    /// | `Unavailable`, `Unauthorized` | the store has not done it, or has not answered |
    ///
    /// # Cancel safety
    ///
    /// It is under way from the first poll, and goes on in the background. The ticket is lost then, so that the lock lapses after `ttl`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:detach")?;
    /// let guard = locks.lock("/import/7").acquire().await?;
    /// let ticket = guard.detach(Duration::from_secs(30)).await?;
    /// assert!(locks.lock("/import/7").try_acquire().await?.is_none(), "it is taken until then");
    /// let guard = locks.adopt(&ticket).await?; // in another process, by `ticket.to_string()`
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn detach(self, ttl: Duration) -> Result<Ticket, Error> {
        if !self.is_owner() {
            let text = "this guard does not own the hold, which ends with the body that it belongs to: acquire the lock by hand, with \
                        `locks.lock(key).acquire()`, to hand it over";
            return Err(Error::new(ErrorKind::Unsupported, text).with_key(self.key()));
        }
        // If it fails before the hold is over, the lock is released when the guard is dropped.
        with_contained_wakers(Box::pin(self.hold().detach(ttl))).await
    }
}

impl Locks {
    /// Goes on with a lock that another process, or this one, has [handed over](Guard::detach): with a guard as any other, a greater
    /// fence, and the TTL that the lock had there.
    ///
    /// It does not wait: the ticket is good or it is not. Of several that adopt one ticket, one does.
    ///
    /// # Errors
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Lost` | the ticket has lapsed, was adopted before, or the lock was released by force: the text says what is known, and [`holder`](Error::holder) who holds the lock now |
    /// | `InvalidTicket` | it is for another store, or another namespace |
    /// | `Unavailable` | the store does not answer: adopt it again. If the store had done it after all, the lock is released, and the ticket is of no use any more |
    /// | `Unauthorized`, `Unsupported`, `Closed` | as for any lock |
    ///
    /// # Cancel safety
    ///
    /// Dropping it releases the lock if it was adopted, in the background; otherwise the ticket is as good as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use distributed_locks::ErrorKind;
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:adopt")?;
    /// let ticket = locks.lock("/import/7").acquire().await?.detach(Duration::from_secs(30)).await?;
    /// let guard = locks.adopt(&ticket).await?;
    /// assert!(guard.fence() > ticket.fence());
    /// let again = locks.adopt(&ticket).await.unwrap_err();
    /// assert_eq!(again.kind(), ErrorKind::Lost);
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn adopt(&self, ticket: &Ticket) -> Adopt {
        let caller = Location::caller();
        let caller = Caller {
            name: Cow::Borrowed("a lock that was handed over"),
            origin: format!("{}:{}", caller.file(), caller.line()).into(),
            template: "",
            value: None,
        };
        Adopt { engine: Arc::clone(&self.engine), ticket: ticket.clone(), caller }
    }
}

/// A lock that goes on here, once this is awaited: see [`Locks::adopt`].
#[derive(Debug)]
#[must_use = "nothing is adopted until it is awaited"]
pub struct Adopt {
    engine: Arc<Engine>,
    ticket: Ticket,
    caller: Caller,
}

impl Adopt {
    /// What the holder calls itself from now on, in the holder record, spans and metrics: see [`Lock::name`](crate::Lock::name).
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:adopt-name")?;
    /// let ticket = locks.lock("/import/7").acquire().await?.detach(Duration::from_secs(30)).await?;
    /// let guard = locks.adopt(&ticket).name("import worker").await?;
    /// let line = locks.inspect("/import/7").await?.expect("it is held");
    /// assert_eq!(line.holders[0].name, "import worker");
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.caller.name = name.into();
        self
    }
}

impl IntoFuture for Adopt {
    type Output = Result<Guard, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { engine, ticket, caller } = self;
        Box::pin(with_contained_wakers(async move { Ok(Acquired::Own(adopt(&engine, ticket, caller).await?).into()) }))
    }
}
