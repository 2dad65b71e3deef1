//! Looking at locks, and releasing them by force: what a person does, or a program for one.

use super::locks::Locks;
use crate::contract::{Change, Line, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

impl Locks {
    /// Who holds the lock `key` and who waits for it; `None` if it has neither holder nor waiters.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, `Unavailable`, `Unauthorized`.
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
    /// let locks = distributed_locks::Locks::connect("memory:inspect")?;
    /// let _guard = locks.lock("/report/weekly").name("report").acquire().await?;
    /// let line = locks.inspect("/report/weekly").await?.expect("it is held");
    /// assert_eq!(line.holders[0].name, "report");
    /// assert!(line.waiters.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn inspect(&self, key: impl AsRef<str>) -> Result<Option<Line>, Error> {
        let key = Key::new(key)?;
        let answer = self.engine.ask(self.engine.store.inspect(Scope::Key(key.clone()))).await;
        Ok(answer.map_err(|error| error.with_key(&key))?.into_iter().next())
    }

    /// The locks whose keys start with `prefix` and that have a holder or waiters, sorted by key.
    ///
    /// On Redis only those that a client of this crate holds or waits for, since any other key might be anything:
    /// [`inspect`](Locks::inspect) shows any holder.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Unauthorized`.
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
    /// let locks = distributed_locks::Locks::connect("memory:list")?;
    /// let _guard = locks.lock("/report/weekly").name("report").acquire().await?;
    /// for line in locks.list("/report/").await? {
    ///     println!("{}: held by {}, {} waiting", line.key, line.holders[0], line.waiters.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(&self, prefix: impl Into<String>) -> Result<Vec<Line>, Error> {
        self.engine.ask(self.engine.store.inspect(Scope::Prefix(prefix.into()))).await
    }

    /// Reports every change to the locks whose keys start with `prefix`, from now on: who holds them, and on a store that keeps
    /// a line (all but ShedLock's table) who waits for them; on Redis, of the locks that [`list`](Locks::list) shows.
    ///
    /// On Redis, PostgreSQL, ZooKeeper and `file:` a hold or a wait that is over before the store is asked who it was may go
    /// unreported: a fraction of a second; on Redis up to 1.2 seconds for a wait. etcd and `memory:` report each.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Unauthorized`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing in the store; dropping the [`Watch`] ends it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use locks_runtime as distributed_locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distributed_locks::Error> {
    /// use distributed_locks::store::Change;
    ///
    /// let locks = distributed_locks::Locks::connect("memory:watch")?;
    /// let mut changes = locks.watch("/report/").await?;
    /// let _guard = locks.lock("/report/weekly").acquire().await?;
    /// assert!(matches!(changes.next().await, Some(Change::Acquired(key, _)) if key.as_str() == "/report/weekly"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn watch(&self, prefix: impl Into<String>) -> Result<Watch, Error> {
        self.engine.ask(self.engine.store.watch(Scope::Prefix(prefix.into()))).await.map(Watch)
    }

    /// What the server says of itself, by name, as far as this user may know: for whoever checks whether it can be relied on. Empty
    /// for a store that is not one of these.
    ///
    /// | store | names |
    /// |---|---|
    /// | all of these | `server` (`redis`, `valkey`, `PostgreSQL`, `MariaDB`, `MySQL`, `Kubernetes`), `version`, `wall_clock_ms` |
    /// | Redis, Valkey | `mode` (`standalone`, `cluster`), `role` (`master`, `replica`), `maxmemory`, `maxmemory_policy`, `connected_slaves`; `shards` of a cluster, `primary` as sentinels name it, `wait_replicas` as the URL has it |
    /// | PostgreSQL | `isolation` (the default of this role), `pooled` (`yes` or `no`: behind PgBouncer or the like) |
    /// | MariaDB, MySQL | `binlog` (its format, or `none`), `flush_log` (`innodb_flush_log_at_trx_commit`) |
    /// | Kubernetes | `missing_rights` (verbs, with a space between) |
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Unauthorized`.
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
    /// let locks = distributed_locks::Locks::connect("memory:")?;
    /// assert!(locks.server_facts().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(not(feature = "server-facts"), expect(clippy::unused_async, reason = "with some stores it asks"))]
    pub async fn server_facts(&self) -> Result<BTreeMap<&'static str, String>, Error> {
        #[cfg(feature = "server-facts")]
        if let crate::contract::NativeKind::ServerFacts(ask) = self.engine.store.native().0 {
            return self.engine.ask(ask()).await;
        }
        Ok(BTreeMap::new())
    }

    /// Releases the lock `key` by force, whoever holds it, and returns whether it was held. To its holder that is a loss,
    /// soon but not before the next one may hold: for emergencies, by a person who knows that the holder is dead.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, also for what is not known to be a lock (on Redis, an application's data of that name): it stays;
    /// `Unavailable`, `Unauthorized`; `Unsupported` where the store cannot, with what to do instead.
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
    /// let locks = distributed_locks::Locks::connect("memory:force")?;
    /// let guard = locks.lock("/report/weekly").acquire().await?;
    /// assert!(locks.force_release("/report/weekly").await?);
    /// assert_eq!(guard.lost().await.kind(), distributed_locks::ErrorKind::Lost);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn force_release(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        let key = Key::new(key)?;
        let answer = self.engine.ask(self.engine.store.force_release(key.clone())).await;
        Ok(answer.map_err(|error| error.with_key(&key))? > 0)
    }

    /// As [`force_release`](Locks::force_release), if the holder is the one with this fencing number (that of
    /// [`Listed::fence`](crate::store::Listed::fence), or of [`Fence::number`](crate::Fence::number)), and returns whether it was:
    /// the store itself compares, so that a person who looked first does not break the next, healthy holder.
    ///
    /// # Errors
    ///
    /// As [`force_release`](Locks::force_release).
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
    /// let locks = distributed_locks::Locks::connect("memory:force_if")?;
    /// let guard = locks.lock("/report/weekly").acquire().await?;
    /// let seen = locks.inspect("/report/weekly").await?.expect("it is held").holders[0].fence.expect("memory shows it");
    /// guard.release().await?;
    /// let next = locks.lock("/report/weekly").acquire().await?;
    /// assert!(!locks.force_release_if("/report/weekly", seen).await?, "that holder has gone");
    /// next.check()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn force_release_if(&self, key: impl AsRef<str>, fence: u64) -> Result<bool, Error> {
        let key = Key::new(key)?;
        let answer = self.engine.ask(self.engine.store.force_release_if(key.clone(), fence)).await;
        Ok(answer.map_err(|error| error.with_key(&key))? > 0)
    }
}

/// Changes to locks, as they happen: by [`next`](Watch::next), or as a [`Stream`]. Dropping it ends it.
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

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.poll_recv(context)
    }
}
