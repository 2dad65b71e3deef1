//! A leader election as it is about to be entered, or observed.

use super::campaign::{Campaign, Candidate};
use super::leaders::{self, Leader, Leaders};
use super::leadership::Leadership;
use super::locks::Locks;
use crate::engine::core::Engine;
use crate::engine::request::Caller;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::options::Options;
use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// An election as it is about to be entered, by [`run`](Election::run), or looked at, by [`current`](Election::current) and
/// [`observe`](Election::observe).
///
/// A leader is the holder of a lock, with a value: everything that is promised of a lock is promised of it. Give elections keys of
/// their own. A lock of the same key and the leader exclude each other.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// let locks = distributed_locks::Locks::connect("memory:election")?;
/// let indexed = locks
///     .leader("/leader/indexer")
///     .value("10.0.0.7:8080")
///     .run(|leadership| async move {
///         println!("this process leads, in term {}", leadership.fence());
///         42 // the work, for as long as there is some
///     })
///     .await?;
/// assert_eq!(indexed, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an election that is only described does nothing; call `run`, `current` or `observe`"]
pub struct Election {
    engine: Arc<Engine>,
    key: Result<Key, Error>,
    options: Options,
    caller: Caller,
}

impl Locks {
    /// Begins to describe the election of one leader of all who use `key`; nothing happens until it is entered or observed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:leader")?;
    /// assert!(locks.leader("/leader/indexer").current().await?.is_none(), "nobody leads");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn leader(&self, key: impl AsRef<str>) -> Election {
        let caller = Location::caller();
        Election {
            engine: Arc::clone(&self.engine),
            key: Key::new(key),
            options: Options::default(),
            caller: Caller {
                name: Cow::Borrowed("a leader elected by hand"),
                origin: format!("{}:{}", caller.file(), caller.line()).into(),
                template: "",
                value: None,
            },
        }
    }
}

impl Election {
    /// What the others see of this candidate when it leads, such as its address: at most what fits into a record of 64 KiB. Default:
    /// `pid@host`.
    pub fn value(mut self, value: impl Display) -> Self {
        self.caller.value = Some(value.to_string());
        self
    }

    /// How long the leadership outlives this process if it dies: the others lead no sooner, and not much later. Default: the client's,
    /// which is 10 s or `?ttl=…` of its URL. Of an observer: how often it looks without a notification.
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options.ttl = ttl.into();
        self
    }

    /// What the candidate calls itself in the holder record, spans and metrics: the label `name` of `leader_election_master_status`.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.caller.name = name.into();
        self
    }

    /// Campaigns, and runs `body` while this process leads: from the first to the last moment of that, never beyond. It ends when the
    /// body returns, or when it [resigns](Leadership::resign).
    ///
    /// When the leadership is lost (the store could not be reached, the process was paused, somebody released it by force), the body
    /// is dropped at its next await, and this campaigns again: `body` is called once for each term. While the store is away it goes on
    /// campaigning for as long as that takes. A body that panics ends it with that panic. In each case the next candidate leads only
    /// after the body has gone.
    ///
    /// # Errors
    ///
    /// `Resigned`, and what trying again does not help against: `InvalidKey`, `InvalidOption` (a value that is too large),
    /// `Unauthorized`, `Unsupported`, `Closed`; `Deadlock` inside a body that has this very key, as leader or as lock.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the body and releases the leadership, or withdraws the candidate, in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:run_leader")?;
    /// let other = locks.clone();
    /// locks
    ///     .leader("/leader/indexer")
    ///     .value("us")
    ///     .run(|_| async {
    ///         let leader = other.leader("/leader/indexer").current().await?.expect("somebody leads");
    ///         assert_eq!(leader.value, "us");
    ///         Ok::<_, distributed_locks::Error>(())
    ///     })
    ///     .await??; // of the election, and of the body
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, F, Fut>(self, mut body: F) -> Result<T, Error>
    where
        F: FnMut(Leadership) -> Fut,
        Fut: Future<Output = T>,
    {
        let Self { engine, key, options, caller } = self;
        let candidate = key.map(|key| Candidate::new(engine, Keys::from(key), options, caller, None));
        let mut campaign = Campaign::new(candidate);
        loop {
            let term = campaign.elected().await?;
            let body = body(term.leadership());
            if let Some(ended) = Campaign::over(term.run(body).await) {
                return ended;
            }
        }
    }

    /// Who leads now; `None` if nobody does. A lock that has the key leads nothing.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store.
    pub async fn current(self) -> Result<Option<Leader>, Error> {
        leaders::current(&self.engine, &self.key?).await
    }

    /// Who leads, now and from now on, for as long as it is [asked](Leaders::next).
    ///
    /// # Errors
    ///
    /// `InvalidKey`; `InvalidOption` for a `ttl` that is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:observe")?;
    /// let mut leaders = locks.leader("/leader/indexer").observe()?;
    /// assert!(leaders.next().await?.is_none(), "nobody leads yet");
    /// let leads = locks.leader("/leader/indexer").value("us").run(|_| std::future::pending::<()>());
    /// let leader = tokio::select! {
    ///     leader = leaders.next() => leader?.expect("somebody leads"),
    ///     _ = leads => unreachable!("the body goes on"),
    /// };
    /// assert_eq!(leader.value, "us");
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe(self) -> Result<Leaders, Error> {
        let key = self.key?;
        self.options.check().map_err(|error| error.with_key(&key))?;
        let every = self.options.ttl.unwrap_or(self.engine.defaults.ttl);
        Ok(Leaders::new(self.engine, key, every))
    }
}
