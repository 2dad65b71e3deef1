//! A lock as it is about to be acquired by hand.

use super::guard::Guard;
use super::run::Held;
use crate::engine::acquire::{Joins, acquire};
use crate::engine::core::Engine;
use crate::engine::request::Caller;
use crate::values::error::{Error, ErrorKind};
use crate::values::keys::Keys;
use crate::values::mode::Mode;
use crate::values::options::{OnLost, Options};
use std::borrow::Cow;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A lock as it is about to be acquired. See [`Options`] for what its parts mean. Its durations may be an `Option`, for
/// instance from a configuration, whose `None` is the default.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use std::time::Duration;
///
/// let locks = distributed_locks::Locks::connect("memory:lock")?;
/// let sent = locks
///     .lock("/invoices/2026-11")
///     .wait(Duration::from_secs(5))
///     .run(|_guard| async { 42 }) // stopped if the lock is lost
///     .await?;
/// assert_eq!(sent, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a lock that is only described is not acquired; call `acquire`, `try_acquire` or `run`"]
pub struct Lock {
    engine: Arc<Engine>,
    keys: Result<Keys, Error>,
    options: Options,
    caller: Caller,
}

impl Lock {
    pub(crate) fn new(engine: Arc<Engine>, keys: Result<Keys, Error>, caller: &'static Location<'static>) -> Self {
        Self {
            engine,
            keys,
            options: Options::default(),
            caller: Caller {
                name: Cow::Borrowed("a lock taken by hand"),
                origin: format!("{}:{}", caller.file(), caller.line()).into(),
                template: "",
                value: None,
            },
        }
    }

    /// How long the lock outlives this process if it dies; it is renewed meanwhile, so this is no limit of the hold. Default: the
    /// client's, which is 10 s or `?ttl=…` of its URL.
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options.ttl = ttl.into();
        self
    }

    /// How long to wait for the lock; zero tries once. Default: for ever.
    pub fn wait(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.options.wait = wait.into();
        self
    }

    /// What happens to the body of [`run`](Lock::run) when the lock is lost. Default: it is stopped. A guard stops nothing.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.options.on_lost = on_lost;
        self
    }

    /// The lock stays taken this long from acquisition, even if it is released or the process ends sooner. It is no limit:
    /// a hold that lasts longer is protected as any other.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:least")?;
    /// let tick = || locks.lock("/cron/lock/cleanup").hold_at_least(Duration::from_secs(30)).try_acquire();
    /// tick().await?.expect("it is free").release().await?;
    /// assert!(tick().await?.is_none(), "a machine whose clock is behind comes to the same tick");
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_at_least(mut self, least: impl Into<Option<Duration>>) -> Self {
        self.options.hold_at_least = least.into();
        self
    }

    /// The hold ends after this long: the body of [`run`](Lock::run) is stopped and the lock released, with an error of kind
    /// `LimitPassed`. A guard's hold is over then, and the lock released when the guard is dropped, at the latest a twentieth of the TTL later.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use distributed_locks::{ErrorKind, Locks};
    /// use std::time::Duration;
    ///
    /// let locks = Locks::connect("memory:most")?;
    /// let short = locks.lock("/report").hold_at_most(Duration::from_millis(50));
    /// let ended = short.run(async |_| tokio::time::sleep(Duration::from_secs(3600)).await).await;
    /// assert_eq!(ended.unwrap_err().kind(), ErrorKind::LimitPassed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_at_most(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.options.hold_at_most = most.into();
        self
    }

    /// How many may wait for the lock in this process: one more is refused at once with `Busy`. Default: any number.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:max_waiting")?;
    /// let held = locks.lock("/report").acquire().await?;
    /// let waiting = tokio::spawn(locks.lock("/report").acquire());
    /// tokio::task::yield_now().await;
    /// let refused = locks.lock("/report").max_waiting(1).acquire().await.unwrap_err();
    /// assert_eq!(refused.kind(), distributed_locks::ErrorKind::Busy);
    /// held.release().await?;
    /// # waiting.await.unwrap()?.release().await
    /// # }
    /// ```
    pub fn max_waiting(mut self, most: impl Into<Option<u32>>) -> Self {
        self.options.max_waiting = most.into();
        self
    }

    /// Who else may hold the lock meanwhile: nobody by default, other readers with [`Mode::Shared`], and with
    /// [`Mode::Permits`] so many at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use distributed_locks::{Locks, Mode};
    ///
    /// let locks = Locks::connect("memory:mode")?;
    /// let call = || locks.lock("/limits/geocoder").mode(Mode::Permits(2)).try_acquire();
    /// let (first, second) = (call().await?, call().await?);
    /// assert!(first.is_some() && second.is_some());
    /// assert!(call().await?.is_none(), "two at a time");
    /// # Ok(())
    /// # }
    /// ```
    pub fn mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }

    /// What the holder calls itself in the holder record, spans and metrics.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.caller.name = name.into();
        self
    }

    /// Where the lock is asked for, in the holder record. Default: file and line of the call that began to describe it.
    pub fn origin(mut self, origin: impl Into<Cow<'static, str>>) -> Self {
        self.caller.origin = origin.into();
        self
    }

    /// Acquires the lock.
    ///
    /// Two guards of one key in one task wait for each other: only inside [`run`](Lock::run) and locked functions is a
    /// nested hold known and joined.
    ///
    /// # Errors
    ///
    /// Every kind but `Lost`, `LimitPassed` and `NotConfigured`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it withdraws from the queue, in the background; nothing stays in the store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use std::time::Duration;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:acquire")?;
    /// let guard = locks.lock("/report/weekly").wait(Duration::from_secs(5)).acquire().await?;
    /// println!("acquired, with fence {}", guard.fence());
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire(self) -> Result<Guard, Error> {
        self.acquire_as(Joins::Guard).await
    }

    /// Acquires the lock if it is free; returns `None` if it is not.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Lock::acquire), but `Busy` and `Timeout`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Lock::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:try")?;
    /// match locks.lock("/report/weekly").try_acquire().await? {
    ///     Some(guard) => guard.release().await?, // after the work
    ///     None => println!("somebody else does it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_acquire(self) -> Result<Option<Guard>, Error> {
        match self.wait(Duration::ZERO).acquire().await {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs `body` under the lock, exactly as the attribute runs a function.
    ///
    /// # Errors
    ///
    /// Every kind but `NotConfigured`; the body ran, in part, only if the kind is `Lost`, `LimitPassed` or, where the client was
    /// closed meanwhile, `Closed`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the body and releases the lock, or withdraws from the queue, in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:run")?;
    /// let rows = locks
    ///     .lock("/report/weekly")
    ///     .run(async |guard| {
    ///         guard.check()?; // before what cannot be undone
    ///         Ok::<_, distributed_locks::Error>(42)
    ///     })
    ///     .await??; // of the lock, and of the body
    /// assert_eq!(rows, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, F, Fut>(self, body: F) -> Result<T, Error>
    where
        F: FnOnce(Guard) -> Fut,
        Fut: Future<Output = T>,
    {
        let options = self.options;
        let guard = Box::pin(self.acquire_as(Joins::Body)).await?;
        let held = Held::new(guard, &options, None);
        let body = body(held.guard());
        held.run(body).await
    }

    async fn acquire_as(self, joins: Joins) -> Result<Guard, Error> {
        acquire(&self.engine, self.keys?, self.options, self.caller, joins).await.map(Guard::from)
    }
}
