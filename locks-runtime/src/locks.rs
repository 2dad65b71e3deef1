//! The handle to a store's locks, and the engine behind it.

use crate::acquire::{Caller, Request};
use crate::backend::{Backend, Capabilities, Change, Line, Scope};
use crate::clock::{self, Clock};
use crate::connect;
use crate::error::{Error, ErrorKind};
use crate::global;
use crate::holder::Holder;
use crate::key::Key;
use crate::lock::Lock;
use crate::options::Options;
use crate::queue::Lines;
use crate::random;
use crate::runtime::{Runtime, Started};
use crate::session::Sessions;
use crate::standing::Baton;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
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
    pub(crate) lines: Lines<Baton>,
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
    async fn ask<T, F>(&self, question: Pin<Box<F>>) -> Result<T, Error>
    where
        T: Send + Unpin + 'static,
        F: Future<Output = Result<T, Error>> + Send + ?Sized + 'static,
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
    /// | `redis://user:password@host:6379/namespace?db=0` | Redis or Valkey; `rediss:` with TLS, as etcd |
    /// | `zookeeper://user:password@a:2181,b:2181/root?layout=curator` | ZooKeeper, in the layout of `curator` or `kazoo`; `zookeepers:` with TLS |
    /// | `postgres://user:password@a:5432,b:5432/database` | PostgreSQL; the server of these that takes writes is used |
    /// | `file:///var/lock/app` | one machine, any number of processes |
    /// | `memory:` or `memory:name` | this process |
    ///
    /// All take `?ttl=10s` (of locks that name none), `?connect_timeout=5s`, and `?label.NAME=VALUE` (for the holder
    /// record).
    ///
    /// `postgres:` URLs also take `?table=schema.table` (default `distributed_locks`), `?namespace=` (put before every
    /// key), and `?sslmode=`: `disable` (the default) is plain text, `require` encrypts and checks nothing, `verify-full`
    /// checks the server's certificate (`?ca=…`) and name (`?domain=…`); with both, `?cert=…&key=…`. The table is made
    /// at first use. Where the role may not create it, somebody else runs this, with `GRANT SELECT, INSERT, UPDATE`:
    ///
    /// ```sql
    /// CREATE TABLE IF NOT EXISTS distributed_locks (
    ///     name text COLLATE "C" PRIMARY KEY,
    ///     fence bigint NOT NULL,
    ///     session text,
    ///     number bigint,
    ///     holder text,
    ///     locked_until timestamptz NOT NULL,
    ///     keep_until timestamptz,
    ///     queue jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(queue) = 'array')
    /// ) WITH (fillfactor = 50)
    /// ```
    ///
    /// A table called `shedlock`, or any with `?layout=shedlock`, is ShedLock's: Java services and this program exclude
    /// each other. There waiters ask a few times a second, fences promise nothing, and a key has at most 64 characters.
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
            instance: format!("{:016x}", random::bits()).into(),
            labels: defaults.labels.clone(),
            ..Holder::here()
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
        Lock::new(self.clone(), Key::new(key), caller)
    }

    pub(crate) fn request(&self, key: Key, options: Options, caller: Caller) -> Request {
        let Caller { name, origin, template } = caller;
        let holder = Holder {
            name,
            origin,
            mode: options.mode.name().into(),
            requested_at_ms: clock::wall_ms(),
            ..self.engine.identity.clone()
        };
        Request { key, options, holder: Arc::new(holder), template, under: global::holds() }
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
        let closed = self.engine.runtime.start(Box::pin(async move { sessions.close().await }));
        // A failure is logged there; what could not be closed lapses.
        let _ = self.engine.runtime.within(self.engine.defaults.connect_timeout, closed).await;
    }

    /// A client for the caller's own requests to the same etcd, with the same endpoints and credentials. It does not put the
    /// URL's namespace before keys.
    ///
    /// It belongs to the background thread's runtime, which drives its connections; its futures may be awaited
    /// anywhere.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the store is not etcd; `Unavailable`, `Unauthorized`.
    #[cfg(feature = "etcd")]
    pub async fn etcd_client(&self) -> Result<etcd_client::Client, Error> {
        self.engine.ask(Box::pin(connect::etcd_client(&self.engine.backend)?)).await
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
