//! The handle to a store's locks, and the engine behind it.

use crate::acquire::{self, Request};
use crate::backend::{Backend, Capabilities, Change, Line, Scope};
use crate::call::{Site, hold_around};
use crate::clock::{self, Clock};
use crate::connect;
use crate::error::{Error, ErrorKind};
use crate::global;
use crate::guard::Guard;
use crate::holder::Holder;
use crate::key::Key;
use crate::options::{OnLost, Options};
use crate::queue::Lines;
use crate::random;
use crate::runtime::{Runtime, Started};
use crate::session::Sessions;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// A client of one store: cheap to clone, usable from any thread and any runtime.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), locks_runtime::Error> {
/// use std::time::Duration;
///
/// let locks = locks_runtime::Locks::connect("memory:")?;
/// let guard = locks.lock("/report/weekly").ttl(Duration::from_secs(10)).acquire().await?;
/// assert!(locks.lock("/report/weekly").try_acquire().await?.is_none());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Locks {
    pub(crate) engine: Arc<Engine>,
}

/// What every lock of a client has unless it says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// The TTL of a lock that names none.
    pub(crate) ttl: Duration,
    /// How long the store may be out of reach before an acquisition without a time to wait gives up.
    pub(crate) connect_timeout: Duration,
    /// The application's own labels, for the holder record.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), connect_timeout: Duration::from_secs(5), labels: BTreeMap::new() }
    }
}

/// One client's state.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) id: u64,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Clock,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) lines: Lines,
    pub(crate) defaults: Defaults,
    backend: Arc<dyn Backend>,
    /// What every holder record of this client has in common.
    identity: Holder,
    closed: AtomicBool,
}

impl Engine {
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Closed, "the client was closed; connect a new one")),
        }
    }

    /// Who holds `key`, if the store tells soon.
    pub(crate) async fn holder(&self, key: &Key) -> Option<Holder> {
        let asked = self.ask(self.backend.inspect(Scope::Key(key.clone())));
        let lines = self.runtime.within(Duration::from_secs(1), asked).await?.ok()?;
        lines.into_iter().next()?.holders.into_iter().next()
    }

    /// Asks the store, on the background thread.
    async fn ask<T, F>(&self, question: F) -> Result<T, Error>
    where
        T: Send + Unpin + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let asked: Started<Result<T, Error>> = self.runtime.start(question);
        asked.await.unwrap_or_else(|| Err(Error::unavailable("the request to the store failed inside")))
    }
}

impl Locks {
    /// A client of the store at `url`. The URL is checked and nothing is sent: the store need not be up yet.
    ///
    /// | URL | store |
    /// |---|---|
    /// | `etcd://user:password@a:2379,b:2379/namespace` | etcd; `etcds:` with TLS (`?ca=…&cert=…&key=…`) |
    /// | `file:///var/lock/app` | one machine, any number of processes |
    /// | `memory:` or `memory:name` | this process |
    ///
    /// All take `?ttl=10s` (of locks that name none), `?connect_timeout=5s`, and `?label.NAME=VALUE` (for the holder
    /// record).
    ///
    /// # Errors
    ///
    /// `InvalidUrl` with what is wrong, or with the feature that is off.
    pub fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        connect::connect(url.as_ref())
    }

    pub(crate) fn with_backend(backend: Arc<dyn Backend>, defaults: Defaults) -> Result<Self, Error> {
        Ok(Self::assemble(backend, defaults, Runtime::background()?, Clock::Boot))
    }

    pub(crate) fn assemble(backend: Arc<dyn Backend>, defaults: Defaults, runtime: Runtime, clock: Clock) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let identity = Holder {
            version: Holder::VERSION,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            instance: format!("{:016x}", random::bits()),
            labels: defaults.labels.clone(),
            ..Holder::default()
        };
        let sessions = Sessions::new(Arc::clone(&backend), runtime.clone(), clock);
        Self {
            engine: Arc::new(Engine {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                runtime,
                clock,
                sessions,
                lines: Lines::default(),
                defaults,
                backend,
                identity,
                closed: AtomicBool::new(false),
            }),
        }
    }

    /// Begins to describe a lock on `key`; nothing happens until it is acquired.
    #[track_caller]
    pub fn lock(&self, key: impl AsRef<str>) -> Lock {
        let caller = Location::caller();
        Lock {
            locks: self.clone(),
            key: Key::new(key),
            options: Options::default(),
            name: Cow::Borrowed("a lock taken by hand"),
            origin: Site { name: "", template: "", file: caller.file(), line: caller.line() },
        }
    }

    pub(crate) fn request(&self, key: Key, options: Options, name: Cow<'static, str>, site: &Site) -> Request {
        let holder = Holder {
            name: name.into_owned(),
            origin: global::origin(site),
            mode: options.mode.to_string(),
            requested_at_ms: clock::wall_ms(),
            ..self.engine.identity.clone()
        };
        Request { key, options, holder, template: site.template, under: global::holds() }
    }

    /// What the store behind this client can promise.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.engine.backend.capabilities()
    }

    /// Who holds the lock `key` and who waits for it; `None` if nobody does either.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store.
    pub async fn inspect(&self, key: impl AsRef<str>) -> Result<Option<Line>, Error> {
        let lines = self.engine.ask(self.engine.backend.inspect(Scope::Key(Key::new(key)?))).await?;
        Ok(lines.into_iter().next())
    }

    /// The locks whose keys start with `prefix` and that have a holder or waiters, sorted by key.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Unauthorized`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store.
    pub async fn list(&self, prefix: impl Into<String>) -> Result<Vec<Line>, Error> {
        self.engine.ask(self.engine.backend.inspect(Scope::Prefix(prefix.into()))).await
    }

    /// Tells of every change to the locks whose keys start with `prefix`, from now on.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Unauthorized`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store; dropping the [`Watch`] ends it.
    pub async fn watch(&self, prefix: impl Into<String>) -> Result<Watch, Error> {
        self.engine.ask(self.engine.backend.watch(Scope::Prefix(prefix.into()))).await.map(Watch)
    }

    /// Takes the lock `key` away from whoever holds it, and gives whether anybody did. The holder learns of it as of a
    /// loss, soon but not before the next one may hold: for emergencies, by a person who knows that the holder is dead.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`; `Unsupported` where the store cannot, with what to do instead.
    ///
    /// # Cancel safety
    ///
    /// The request goes on in the background.
    pub async fn force_release(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        let removed = self.engine.ask(self.engine.backend.force_release(Key::new(key)?)).await?;
        Ok(removed > 0)
    }

    /// Ends the client: new requests fail with `Closed`, what is held is lost, and everything of this client leaves the
    /// store at once. Call it last in `main`, so that locks dropped just before need not lapse.
    ///
    /// # Cancel safety
    ///
    /// The closing goes on in the background.
    pub async fn close(&self) {
        self.engine.closed.store(true, Ordering::Release);
        let sessions = Arc::clone(&self.engine.sessions);
        let closed = self.engine.runtime.start(async move { sessions.close().await });
        // A failure is logged there; what could not be closed lapses.
        let _ = self.engine.runtime.within(self.engine.defaults.connect_timeout, closed).await;
    }

    /// A client for the caller's own requests to the same etcd, with the same endpoints and credentials.
    ///
    /// It belongs to the background thread's runtime, which drives its connections; its futures may be awaited
    /// anywhere.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the store is not etcd; `Unavailable`, `Unauthorized`.
    #[cfg(feature = "etcd")]
    pub async fn etcd_client(&self) -> Result<etcd_client::Client, Error> {
        self.engine.ask(connect::etcd_client(&self.engine.backend)?).await
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("backend", &self.engine.backend).finish_non_exhaustive()
    }
}

impl TryFrom<&str> for Locks {
    type Error = Error;

    fn try_from(url: &str) -> Result<Self, Error> {
        Self::connect(url)
    }
}

impl TryFrom<String> for Locks {
    type Error = Error;

    fn try_from(url: String) -> Result<Self, Error> {
        Self::connect(url)
    }
}

impl TryFrom<&String> for Locks {
    type Error = Error;

    fn try_from(url: &String) -> Result<Self, Error> {
        Self::connect(url)
    }
}

/// A lock as it is about to be taken. See [`Options`] for what its parts mean.
#[derive(Debug)]
#[must_use = "a lock that is only described is not taken; call `acquire`, `try_acquire` or `run`"]
pub struct Lock {
    locks: Locks,
    key: Result<Key, Error>,
    options: Options,
    name: Cow<'static, str>,
    origin: Site,
}

impl Lock {
    /// How long the lock outlives this process if it dies; it is renewed meanwhile.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// How long to wait for the lock; zero tries once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// What happens to the body of [`run`](Lock::run) when the lock is lost.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.options.on_lost = on_lost;
        self
    }

    /// The lock stays taken this long from acquisition, even if it is released or the process ends sooner.
    pub fn hold_at_least(mut self, least: Duration) -> Self {
        self.options.hold_at_least = Some(least);
        self
    }

    /// The hold is over after this long: the body of [`run`](Lock::run) is stopped and the lock given back. A guard's
    /// lock is lost then, and given back when the guard is dropped, at the latest a twentieth of the TTL later.
    pub fn hold_at_most(mut self, most: Duration) -> Self {
        self.options.hold_at_most = Some(most);
        self
    }

    /// What the holder calls itself in the holder record, spans and metrics.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Takes the lock.
    ///
    /// Two guards of one key in one task wait for each other: only inside [`run`](Lock::run) and locked functions is a
    /// nested hold known and joined.
    ///
    /// # Errors
    ///
    /// Every kind but `Lost` and `NotConfigured`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the line, in the background; nothing stays in the store.
    pub async fn acquire(self) -> Result<Guard, Error> {
        let request = self.locks.request(self.key?, self.options, self.name, &self.origin);
        acquire::acquire(&self.locks.engine, request).await
    }

    /// Takes the lock if it is free, or gives `None`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Lock::acquire), but `Busy` and `Timeout`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Lock::acquire).
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
    /// Every kind but `NotConfigured`; the body ran, in part, only if the kind is `Lost`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the body and gives the lock back, or withdraws from the line, in the background.
    pub async fn run<T, F, Fut>(self, body: F) -> Result<T, Error>
    where
        F: FnOnce(Guard) -> Fut,
        Fut: Future<Output = T>,
    {
        let options = self.options;
        let guard = self.acquire().await?;
        hold_around(guard, &options, body).await
    }
}

/// Changes to locks, as they happen. Dropping it ends it.
#[derive(Debug)]
pub struct Watch(mpsc::Receiver<Change>);

impl Watch {
    /// The next change; `None` when the store cannot be watched any more: inspect, and watch anew.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no change.
    pub async fn next(&mut self) -> Option<Change> {
        self.0.recv().await
    }
}
