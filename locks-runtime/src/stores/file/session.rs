//! A session: the lock files that one client has open.

use super::clean_up;
use super::entries::OpenEntry;
use super::shared::{LOOKS, Shared};
use crate::contract::poll::{self, Outcome, Rhythm};
use crate::contract::{AsyncSession, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::values::options::Mode;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::Vacant;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

/// With the timer's millisecond on top, a hand-off stays below 10 ms.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(1), longest: Duration::from_millis(5) };

/// An extended lock is tried this often nevertheless: it may be released by force.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// A process is not called paused for less: its threads may have to wait for their turn that long.
const SHORTEST: Duration = Duration::from_secs(1);

/// How often a holder checks that its file is still there, and how soon it begins to.
const CHECKED: Duration = Duration::from_millis(250);

/// The session of a [`FileStore`](super::FileStore). It has no TTL of its own: it lasts as long as its process.
#[derive(Debug)]
pub(super) struct FileSession {
    store: Arc<Shared>,
    ttl: Duration,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By number. Once the session is closed, only those that lapse.
    known: BTreeMap<u64, OpenEntry>,
    is_closed: bool,
}

impl FileSession {
    pub(super) fn new(store: Arc<Shared>, asked: Duration) -> Self {
        Self { store, ttl: asked.max(SHORTEST), entries: Mutex::default() }
    }
}

impl AsyncSession for FileSession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn watched_within(&self) -> Duration {
        CHECKED / 2
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        self.with(|_| Ok(Renewal::complete()))
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        // A mode more and this does not compile: sharing needs a shared kernel lock.
        let Mode::Exclusive = entry.mode;
        match self.try_to_enter(&entry, when_busy).await {
            Err(error) if clean_up::is_full(&error) => {
                clean_up::make_room(&self.store).await;
                self.try_to_enter(&entry, when_busy).await
            }
            other => other,
        }
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let attempt = || ready(self.attempt(&entry).map(often_enough));
        poll::until_acquired(&self.store.world, RHYTHM, attempt).await.map(Grant::new)
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.at(&entry, |entry| entry.extend(least))
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        self.at(&entry, |entry| entry.lapse(rest))
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        loop {
            // One that is not known has left.
            let left = self.entries.lock().known.get_mut(&entry.number).map_or(Ok(true), OpenEntry::leave);
            if left? {
                self.close_entry(&entry);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        loop {
            match self.at(&entry, |entry| Ok(entry.is_removed())) {
                Ok(false) => tokio::time::sleep(self.store.world.between(CHECKED / 2, CHECKED)).await,
                Ok(true) => {
                    return Err(Error::lost(
                        "the lock's file was deleted or replaced: another process may hold the lock now",
                    ));
                }
                // Left or closed by ourselves.
                Err(_) => pending().await,
            }
        }
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let mut entries = self.entries.lock();
        entries.is_closed = true;
        entries.known.retain(|_, entry| entry.stays());
        Ok(())
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

fn often_enough(answer: Outcome<u64>) -> Outcome<u64> {
    match answer {
        Outcome::BusyFor(left) => Outcome::BusyFor(left.min(LONGEST_SLEEP)),
        other => other,
    }
}

impl FileSession {
    async fn try_to_enter(&self, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        self.open(entry)?;
        for look in 1.. {
            let left = match self.attempt(entry)? {
                Outcome::Acquired(fence) => return Ok(Entered::held(fence)),
                Outcome::Busy | Outcome::BusyFor(_) if when_busy == WhenBusy::Queue => break,
                Outcome::Busy => None,
                Outcome::BusyFor(left) => Some(left),
            };
            let holder = self.at(entry, |entry| entry.holder())?;
            if left.is_some() || look == LOOKS || holder.as_ref().is_some_and(|holder| !self.store.has_ended(holder)) {
                self.close_entry(entry);
                return Ok(Entered::Busy(self.store.describe(holder, left).into()));
            }
            // Another process looks who holds it, or acquires it and has not written its record yet.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Entered::Queued)
    }

    /// Opens the lock's file for the entry, unless it is open.
    fn open(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        self.with(|entries| {
            if let Vacant(vacant) = entries.entry(entry.number) {
                vacant.insert(OpenEntry::new(&self.store, entry)?);
            }
            Ok(())
        })
    }

    fn attempt(&self, entry: &Entry) -> Result<Outcome<u64>, Error> {
        self.at(entry, OpenEntry::attempt)
    }

    fn close_entry(&self, entry: &Entry) {
        let left = self.entries.lock().known.remove(&entry.number);
        // Not under the mutex: it writes to the file.
        drop(left);
        clean_up::start(&self.store);
    }

    /// Works on the entry; `Lost` if it is not open.
    fn at<T>(&self, entry: &Entry, work: impl FnOnce(&mut OpenEntry) -> Result<T, Error>) -> Result<T, Error> {
        self.with(|entries| match entries.get_mut(&entry.number) {
            Some(entry) => work(entry),
            None => Err(Error::lost("the entry has left the queue")),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, OpenEntry>) -> Result<T, Error>) -> Result<T, Error> {
        let mut entries = self.entries.lock();
        match entries.is_closed {
            false => work(&mut entries.known),
            true => Err(Error::lost("the session is closed")),
        }
    }
}
