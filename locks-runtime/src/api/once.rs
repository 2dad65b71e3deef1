//! What is done once, by whichever process is first, and remembered.

use super::guard::Guard;
use super::locks::Locks;
use super::run::Held;
use crate::engine::acquire::{Joins, acquire};
use crate::engine::context;
use crate::engine::core::Engine;
use crate::engine::observe;
use crate::engine::request::Caller;
use crate::values::done::Done;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::options::Options;
use std::borrow::Cow;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Work that is done once, as it is about to be [run](Once::run).
///
/// The store remembers under its key that it is done, for good: until that is [forgotten](Locks::forget). A call while another does
/// it waits, and finds it done. Work that fails, panics, is stopped, or whose process dies is not done, and the next one does it.
///
/// What the work has changed and the record of it are two writes: a process that dies in between leaves work that is done and not
/// recorded, and it **is done again**. So it must bear that, as migrations do that say `IF NOT EXISTS`.
///
/// Give such work a key of its own. A lock of the same key excludes it, and is no record.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use distributed_locks::{Error, Locks, Outcome};
///
/// async fn migrate() -> Result<u32, Error> {
///     Ok(3) // tables
/// }
///
/// let locks = Locks::connect("memory:once")?;
/// for _ in 0..2 {
///     match locks.once("/migrate/v7").run(|_guard| migrate()).await? {
///         Outcome::Ran(tables) => println!("{tables} tables were changed"),
///         Outcome::AlreadyDone(done) => println!("was done {done}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "work that is only described is not done; call `run`"]
pub struct Once {
    engine: Arc<Engine>,
    key: Result<Key, Error>,
    version: Option<String>,
    options: Options,
    caller: Caller,
}

/// How [`Once::run`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The body ran here, returned this, and it is recorded.
    Ran(T),
    /// It was done before, by this process or another.
    AlreadyDone(Box<Done>),
}

/// What there is to do.
enum Begun {
    Nothing(Done),
    Body(Held, Done),
}

impl Locks {
    /// Begins to describe work that is done once under `key`; nothing happens until it is [run](Once::run).
    ///
    /// Stores that cannot remember it refuse with `Unsupported`: [`Capabilities::once`](crate::store::Capabilities::once).
    #[track_caller]
    pub fn once(&self, key: impl AsRef<str>) -> Once {
        let caller = Location::caller();
        Once {
            engine: Arc::clone(&self.engine),
            key: Key::new(key),
            version: None,
            options: Options::default(),
            caller: Caller {
                name: Cow::Borrowed("work that is done once"),
                origin: format!("{}:{}", caller.file(), caller.line()).into(),
                template: "",
                value: None,
            },
        }
    }

    /// Forgets what was done [once](Locks::once) under `key`: the next call does it again. Returns whether it was done, as far as
    /// the store's last answer says. Who does it meanwhile goes on, and records that.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`, `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// The request goes on in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:forget")?;
    /// locks.once("/import").run(async |_| Ok::<_, distributed_locks::Error>(())).await?;
    /// assert!(locks.once("/import").done().await?.is_some());
    /// assert!(locks.forget("/import").await?);
    /// assert!(locks.once("/import").done().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn forget(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.engine.forget(&Key::new(key)?).await
    }
}

impl Once {
    /// What is done, in a word: a number, a hash of the scripts. It is recorded, and a call with another one is refused with
    /// `InvalidOption`, so that a change of the work is not taken for done. Work that is to be done again in each version has the
    /// version in its key.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// How long the others wait if the process dies that does it: see [`Lock::ttl`](crate::Lock::ttl). It is no limit of the work.
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options.ttl = ttl.into();
        self
    }

    /// How long to wait for another who does it; zero not at all. Default: for ever.
    pub fn wait(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.options.wait = wait.into();
        self
    }

    /// What the work calls itself in records, spans and metrics.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.caller.name = name.into();
        self
    }

    /// What the store remembers of it, `None` if it is not done: one read.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`, `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store.
    pub async fn done(self) -> Result<Option<Done>, Error> {
        self.engine.done(&self.key?).await
    }

    /// Runs `body` unless it is done already, and records that it is when it has returned `Ok`. One that is done costs one read.
    ///
    /// The body runs under a lock of the key, as that of [`Lock::run`](crate::Lock::run) does: it is stopped when the lock is lost, and
    /// has the guard, for [`check`](Guard::check) and its fence. The record is written while the lock is held, on the condition that it
    /// is: a process that was paused for too long records nothing that another has begun to do.
    ///
    /// # Errors
    ///
    /// Those of the body: it is not done then. Of the lock every kind but `NotConfigured`, and these:
    ///
    /// | kind | when | the body |
    /// |---|---|---|
    /// | `Busy`, `Timeout` | another does it, and did not end within `wait` | did not run |
    /// | `InvalidOption` | it was done in another `version`, or the version is too long: with the rest of the record at most 64 KiB | did not run |
    /// | `Deadlock` | inside a body that has this very key, as once or as lock | did not run |
    /// | `Unsupported` | the store cannot remember | did not run |
    /// | `Lost`, `Unavailable`, `Unauthorized` | before, or while it ran; or it has returned and that could not be recorded, as the text says then: it will be done again, unless the store has the record after all | may have run |
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the body and releases the lock, or withdraws from the queue, in the background. A record that is being written
    /// then may be there or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = distributed_locks::Locks::connect("memory:run_once")?;
    /// let work = || locks.once("/import").version("2026-11");
    /// let failed = work().run(async |_| Err::<(), _>("no such file".into())).await;
    /// assert!(failed.is_err_and(|error: Box<dyn std::error::Error>| error.to_string() == "no such file"));
    /// assert!(work().done().await?.is_none(), "what failed is not done");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, E, F, Fut>(self, body: F) -> Result<Outcome<T>, E>
    where
        F: FnOnce(Guard) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let name = self.caller.name.clone();
        let ended = self.run_or_skip(body).await;
        let outcome = match &ended {
            Ok(Outcome::Ran(_)) => "ran",
            Ok(Outcome::AlreadyDone(_)) => "already_done",
            Err(_) => "failed",
        };
        observe::once_ended(&name, outcome);
        ended
    }

    async fn run_or_skip<T, E, F, Fut>(self, body: F) -> Result<Outcome<T>, E>
    where
        F: FnOnce(Guard) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let (held, done) = match Box::pin(self.begin()).await? {
            Begun::Nothing(done) => return Ok(Outcome::AlreadyDone(Box::new(done))),
            Begun::Body(held, done) => (held, done),
        };
        let hold = Arc::clone(held.hold());
        let work = body(held.guard());
        held.run(async move {
            let value = work.await?;
            Box::pin(hold.mark_done(done)).await?;
            Ok(Outcome::Ran(value))
        })
        .await?
    }

    /// Whether there is anything to do, and then the lock for it.
    async fn begin(self) -> Result<Begun, Error> {
        let Self { engine, key, version, options, caller } = self;
        let key = key?;
        let checked = options.check().and_then(|()| engine.check_open());
        checked.and_then(|()| check_apart(&engine, &key)).map_err(|error| error.with_key(&key))?;
        if let Some(done) = engine.done(&key).await? {
            return done_already(&key, done, version.as_deref());
        }
        let acquired = acquire(&engine, Keys::from(key.clone()), options, caller, Joins::Body).await;
        let held = Held::new(acquired?.into(), &options, None);
        // Others may have done it before this one had its turn.
        if let Some(done) = engine.done(&key).await? {
            return done_already(&key, done, version.as_deref());
        }
        let done = held.hold().record_of(version)?;
        Ok(Begun::Body(held, done))
    }
}

/// Whether the task is in no body that has the key: it would find that it is not done, and do it inside of itself.
fn check_apart(engine: &Engine, key: &Key) -> Result<(), Error> {
    let Some(outer) = context::joinable(engine, &Keys::from(key.clone())) else { return Ok(()) };
    let holder = &outer.hold.request().holder;
    let text = format!(
        "this runs inside of {} ({}), which has this key, as work that is done once or as a lock; use a key of its own",
        holder.name, holder.origin
    );
    Err(Error::new(ErrorKind::Deadlock, text))
}

/// It is done, in the version that is wanted.
fn done_already(key: &Key, done: Done, version: Option<&str>) -> Result<Begun, Error> {
    match version {
        Some(wanted) if done.version.as_deref() != Some(wanted) => {
            let text = format!(
                "it was done in another version than `{wanted}`: {done}; have the version in the key where each is to be done, or \
                 `forget` the key"
            );
            Err(Error::new(ErrorKind::InvalidOption, text).with_key(key))
        }
        _ => Ok(Begun::Nothing(done)),
    }
}
