//! The client: a handle to a store's locks.

use super::connect;
use super::lock::Lock;
#[cfg(feature = "etcd")]
use crate::contract::NativeKind;
use crate::contract::{Capabilities, Store};
use crate::engine::core::Engine;
use crate::values::defaults::Defaults;
use crate::values::error::Error;
#[cfg(feature = "etcd")]
use crate::values::error::ErrorKind;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::secret::Secret;
use crate::world::World;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A client of one store: cheap to clone, usable from any thread and any runtime.
///
/// When the last handle, guard and call of a client is gone, its sessions and connections close by themselves, soon after.
/// At the end of a program nothing waits for that: see [`close`](Locks::close), and for a service [`drain`](Locks::drain).
///
/// A process that is forked cannot use the clients of its parent: their requests fail at once with `Closed`, guards are
/// lost there, and dropping them releases nothing. Connect in the child.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use std::time::Duration;
///
/// let locks = distributed_locks::Locks::connect("memory:")?;
/// let guard = locks.lock("/report/weekly").ttl(Duration::from_secs(10)).acquire().await?;
/// assert!(locks.lock("/report/weekly").try_acquire().await?.is_none());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Locks {
    pub(crate) engine: Arc<Engine>,
    /// What another process can connect by.
    url: Option<Secret<Arc<str>>>,
}

impl Locks {
    /// A client of the store at `url`. The URL is checked and nothing is sent: the store need not be up yet.
    ///
    /// | URL | store |
    /// |---|---|
    /// | `etcd://user:password@a:2379,b:2379/namespace` | etcd; `etcds:` with TLS (`?ca=…&cert=…&key=…`) |
    /// | `redis://user:password@host:6379/namespace?db=0` | Redis or Valkey; `rediss:` with TLS, as etcd |
    /// | `redis://a:7000,b:7000/namespace?cluster`, `redis://s1,s2,s3/namespace?sentinel=NAME` | a Redis Cluster; the primary that sentinels name |
    /// | `zookeeper://user:password@a:2181,b:2181/root?layout=curator` | ZooKeeper, in the layout of `curator` or `kazoo`; `zookeepers:` with TLS |
    /// | `postgres://user:password@a:5432,b:5432/database` | PostgreSQL; of several servers the one that accepts writes is used |
    /// | `mysql://user:password@a:3306,b:3306/database`, or `mariadb:` | MariaDB, MySQL; of several servers the one that accepts writes is used |
    /// | `kubernetes:///namespace` | Kubernetes, from inside of a pod; `kubernetes://host:6443/namespace?ca=…&token_file=…` from outside |
    /// | `file:///var/lock/app` | one machine, any number of processes |
    /// | `memory:` or `memory:name` | this process |
    ///
    /// In `etcd:` and `redis:` URLs the path is what keys begin with, without the slash that ends the hosts: `/app` is `app`, and
    /// `//app`, or `/%2Fapp`, is `/app`. So a role that may touch what begins with `/app/` fits `etcd://…//app` and keys that begin
    /// with a slash. An `@` in a user, a password, a path or a parameter is written `%40`.
    ///
    /// All take `?ttl=10s` (of locks that name none), `?connect_timeout=5s`, and `?label.NAME=VALUE` (for the holder
    /// record).
    ///
    /// `postgres:` URLs also take `?table=schema.table` (default `distributed_locks`), `?namespace=` (put before every
    /// key), and `?sslmode=`: `disable` (the default) is plain text, `require` encrypts and checks nothing, `verify-full`
    /// checks the server's certificate (`?ca=…`) and name (`?domain=…`); with both, `?cert=…&key=…`. The table is
    /// created at first use. Where the role may not create it, an administrator runs this for
    /// the default one, with `GRANT SELECT, INSERT, UPDATE`:
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
    /// each other. There waiters poll a few times a second, fences promise nothing, and a key has at most 64 characters.
    ///
    /// `mysql:` and `mariadb:` URLs take the same, with `?table=database.table`. The statement for their table is what `locks doctor
    /// --url mysql: --print-migration` prints.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` with what is wrong, or with the feature that is off.
    pub fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        let (url, world) = (url.as_ref(), World::background()?);
        let (store, defaults) = connect::connect(url, &world)?;
        let is_in_memory = url.split(':').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("memory"));
        Ok(Self { url: (!is_in_memory).then(|| Secret::new(url.into())), ..Self::new(store, defaults, world) })
    }

    /// A client of a store that is made already, of another crate for instance. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the background thread cannot be started.
    pub fn with_store(store: Arc<dyn Store>, defaults: Defaults) -> Result<Self, Error> {
        Ok(Self::new(store, defaults, World::background()?))
    }

    pub(crate) fn new(store: Arc<dyn Store>, defaults: Defaults, world: World) -> Self {
        Self { engine: Arc::new(Engine::new(store, defaults, world)), url: None }
    }

    /// The URL that another process can connect by, if there is one.
    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_ref().map(|url| &**url.reveal())
    }

    /// Begins to describe a lock on `key`; nothing happens until it is acquired.
    #[track_caller]
    pub fn lock(&self, key: impl AsRef<str>) -> Lock {
        let caller = Location::caller();
        Lock::new(Arc::clone(&self.engine), Key::new(key).map(Keys::from), caller)
    }

    /// Begins to describe several locks that are acquired at one moment, all or none: no two calls for any of them wait for each
    /// other in a circle, in whatever order they name them. Equal keys count once; at most 16 different ones.
    ///
    /// Stores that cannot refuse with `Unsupported`: [`Capabilities::multi_key`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// let locks = distributed_locks::Locks::connect("memory:lock_all")?;
    /// let (from, to) = ("/account/7", "/account/3");
    /// let guard = locks.lock_all([from, to]).acquire().await?;
    /// assert!(guard.fence_of(from).is_some() && guard.fence_of(to).is_some());
    /// assert!(locks.lock(to).try_acquire().await?.is_none());
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn lock_all<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Lock {
        let caller = Location::caller();
        Lock::new(Arc::clone(&self.engine), Keys::new(keys.into_iter().map(Key::new)), caller)
    }

    /// What the store behind this client can promise.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.engine.store.capabilities()
    }

    /// Ends the client: new requests fail with `Closed`, bodies that run are stopped with the same kind, and everything of this
    /// client leaves the store at once, also under bodies that go on: [`drain`](Locks::drain) waits for them. That is no loss, in metrics and events neither. Call it last in `main`, so that locks dropped just before need not lapse.
    /// Without it a thread that ends waits for what it has dropped, 0.3 s at the most, and not on every system or way to end.
    ///
    /// # Cancel safety
    ///
    /// The closing goes on in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// distributed_locks::init("memory:close")?;
    /// // … the program …
    /// distributed_locks::client()?.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// A client for the caller's own requests to the same etcd, with the same endpoints and credentials. It does not put the
    /// URL's namespace before keys. Needs the feature `etcd`.
    ///
    /// It belongs to the background thread's runtime, which drives its connections; its futures may be awaited
    /// anywhere.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the store is not etcd; `Unavailable`, `Unauthorized`.
    #[cfg(feature = "etcd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "etcd")))]
    pub async fn etcd_client(&self) -> Result<etcd_client::Client, Error> {
        match self.engine.store.native().0 {
            NativeKind::EtcdClient(connect) => self.engine.ask(connect()).await,
            _ => Err(Error::new(ErrorKind::Unsupported, "the locks of this client are not in etcd")),
        }
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("store", &self.engine.store).finish_non_exhaustive()
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
