//! A session: one session of ZooKeeper's, and what this process has in the store under it.

use super::config::Config;
use super::keep::{self, Kept};
use super::link::{Link, Trouble, lock};
use super::{enter, gone, names, renew, turn};
use crate::contract::{Entered, Entry, Grant, Native, Pending, Renewal, Session, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::{AtomicMoment, Clock};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// A session on ZooKeeper.
#[derive(Debug)]
pub(super) struct ZooKeeperSession(pub(super) Arc<Shared>);

/// What the futures of one session share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) ttl: Duration,
    /// When the last renewal was sent that was acknowledged.
    pub(super) renewed: AtomicMoment,
    pub(super) slots: Mutex<HashMap<u64, Slot>>,
    /// How many bytes the paths have that are watched.
    pub(super) watched: AtomicUsize,
}

/// What is known of an entry, from before it is first sent until it is definitely gone.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) node: Option<Node>,
    /// A request that creates the node was sent, and what came of it is not known.
    pub(super) unsure: bool,
    pub(super) leaving: bool,
    /// Told when it leaves.
    pub(super) left: Arc<Notify>,
    pub(super) kept: Option<Kept>,
}

/// An entry's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The name below the lock's node.
    pub(super) name: String,
    pub(super) sequence: i32,
    /// The transaction that put the entry in line: its fence.
    pub(super) created: i64,
}

/// What is added to a TTL when the session is asked for. A follower tells the leader of its clients only every half a
/// tick (two seconds by default), and if it dies meanwhile, the leader counts from before the last renewal.
pub(super) fn reserve(ttl: Duration) -> Duration {
    (ttl / 10).max(Duration::from_secs(1))
}

impl ZooKeeperSession {
    pub(super) async fn open(config: Arc<Config>, asked: Duration) -> Result<Self, Error> {
        let sent = Clock::Boot.now();
        let link = Link::open(config, asked + reserve(asked)).await?;
        let ttl = link.granted.saturating_sub(reserve(asked));
        if ttl < asked {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this ZooKeeper keeps a session for at most {:?}, which makes the longest TTL {ttl:?}, and {asked:?} \
                     was asked; ask for less, or raise `maxSessionTimeout` at the servers",
                    link.granted
                ),
            ));
        }
        let shared = Arc::new(Shared {
            link,
            ttl,
            renewed: AtomicMoment::new(sent),
            slots: Mutex::default(),
            watched: AtomicUsize::new(0),
        });
        renew::end_when_overdue(&shared);
        Ok(Self(shared))
    }
}

impl Session for ZooKeeperSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let shared = self.0.clone();
        Box::pin(async move { renew::renew(&shared).await.map(|()| Renewal::complete()) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let shared = self.0.clone();
        Box::pin(async move { enter::enter(&shared, &entry, when_busy).await })
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        let shared = self.0.clone();
        Box::pin(async move { turn::turn(&shared, &entry).await.map(Grant::new) })
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { keep::keep(&shared, &entry, least).await })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.leave(&entry).await })
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        let shared = self.0.clone();
        Box::pin(async move {
            match gone::gone(&shared, &entry).await {
                Some(error) => Err(error),
                None => pending().await,
            }
        })
    }

    fn close(&self) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { shared.close().await })
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

impl Shared {
    pub(super) fn config(&self) -> &Config {
        &self.link.config
    }

    /// The lock's node.
    pub(super) fn parent(&self, entry: &Entry) -> String {
        self.config().node(&names::path(entry.key.as_str()))
    }

    /// The entry's node without its sequence.
    pub(super) fn prefix(&self, entry: &Entry) -> String {
        names::entry(self.config().layout, self.link.id, entry.number)
    }

    /// What is known of `entry`, which is put there if nothing is.
    pub(super) fn slot<T>(&self, entry: &Entry, look: impl FnOnce(&mut Slot) -> T) -> T {
        look(lock(&self.slots).entry(entry.number).or_default())
    }

    pub(super) fn known<T>(&self, entry: &Entry, look: impl FnOnce(&mut Slot) -> Option<T>) -> Option<T> {
        look(lock(&self.slots).get_mut(&entry.number)?)
    }

    pub(super) fn error(&self, trouble: Trouble, entry: &Entry) -> Error {
        self.link.error(trouble, &self.parent(entry))
    }

    async fn leave(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        let there = self.slot(entry, |slot| {
            slot.leaving = true;
            slot.left.notify_one();
            slot.node.is_some() || slot.unsure
        });
        if there && !keep::outlives(self, entry).await? {
            self.delete(entry).await.map_err(|trouble| self.error(trouble, entry))?;
        }
        lock(&self.slots).remove(&entry.number);
        Ok(())
    }

    /// Takes the entry's node out. Its name is never used again, so nothing else can be hit.
    pub(super) async fn delete(&self, entry: &Entry) -> Result<(), Trouble> {
        let node = match self.known(entry, |slot| slot.node.clone()) {
            Some(node) => node.name,
            None => match self.find(entry).await? {
                Some(name) => name,
                None => return Ok(()),
            },
        };
        let path = format!("{}/{node}", self.parent(entry));
        match self.link.ask(|client| async move { client.delete(&path, None).await }).await {
            Err(trouble) if trouble.is_no_node() => Ok(()),
            other => other,
        }
    }

    /// Looks for the node of an entry whose creation was not answered. What was sent before has been done by then, or
    /// never will be: the server answers in order, and refuses what comes late over a connection that was replaced.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Option<String>, Trouble> {
        let prefix = self.prefix(entry);
        match self.link.children_now(&self.parent(entry)).await {
            Ok(children) => Ok(children.into_iter().find(|name| name.starts_with(&prefix))),
            Err(trouble) if trouble.is_no_node() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn close(&self) -> Result<(), Error> {
        if self.link.is_open() {
            keep::outlive_all(self).await?;
        }
        self.link.end();
        self.link.closed().await.map_err(|trouble| self.link.error(trouble, "/"))?;
        lock(&self.slots).clear();
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("link", &self.link).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
