//! A session: the lock files that one client has open.

use super::clean_up;
use super::done;
use super::emptying;
use super::entries::{Next, OpenEntry, Tried};
use super::lock::Pause;
use super::shared::{LOOKS, Shared};
use super::wait::Waiting;
use crate::contract::{AsyncSession, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::Vacant;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// A process is not called paused for less: its threads may have to wait for their turn that long.
const SHORTEST: Duration = Duration::from_secs(1);

/// How soon to look again for what another process does in microseconds.
const SHORT: Duration = Duration::from_millis(1);

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
    known: BTreeMap<u64, Known>,
    is_closed: bool,
}

/// Each entry has a mutex of its own: the system is called under it.
type Known = Arc<Mutex<OpenEntry>>;

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
        if self.entries.lock().is_closed { Err(closed()) } else { Ok(Renewal::complete()) }
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        match self.try_to_enter(&entry, when_busy).await {
            Err(error) if clean_up::is_full(&error) => {
                clean_up::make_room(&self.store).await;
                self.try_to_enter(&entry, when_busy).await
            }
            other => other,
        }
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let mut waiting = Waiting::new(&self.store);
        loop {
            match self.at(&entry, OpenEntry::next)? {
                Next::Held(grant) => return Ok(grant),
                Next::Waits(Pause::Awaits(awaited)) => waiting.until_unlocked(awaited).await?,
                Next::Waits(Pause::Sleeps(pause)) => tokio::time::sleep(pause).await,
                Next::Queues => self.queue(&entry).await?,
            }
        }
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.at(&entry, |entry| entry.extend(least))
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        self.at(&entry, |entry| entry.lapse(rest))
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        let open = self.known(&entry)?;
        done::mark(&self.store, &entry, open, record).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        loop {
            // One that is not known has left.
            let known = self.entries.lock().known.get(&entry.number).cloned();
            if known.map_or(Ok(true), |known| known.lock().leave())? {
                self.close_entry(&entry);
                return Ok(());
            }
            tokio::time::sleep(SHORT).await;
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
        let known = {
            let mut entries = self.entries.lock();
            entries.is_closed = true;
            std::mem::take(&mut entries.known)
        };
        let staying: Vec<_> = known.into_iter().filter(|(_, entry)| entry.lock().stays()).collect();
        self.entries.lock().known.extend(staying);
        emptying::empty_all(&self.store);
        Ok(())
    }

    fn native(&self, entry: &Entry) -> Native {
        self.at(entry, OpenEntry::descriptors).map_or_else(|_| Native::none(), Native::descriptors)
    }
}

impl FileSession {
    async fn try_to_enter(&self, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        self.open(entry)?;
        for look in 1.. {
            // Whoever asks does not overtake those who wait, though the lock is free for a moment between two holds.
            if let Some(first) = self.at(entry, |entry| entry.waits_behind())? {
                if when_busy == WhenBusy::Queue {
                    break;
                }
                let (holder, left) = self.at(entry, |entry| entry.holder_now())?.unwrap_or((None, first.1));
                self.close_entry(entry);
                return Ok(Entered::Busy(self.store.describe(holder.or(first.0), left).into()));
            }
            let (number, refusal) = match self.at(entry, OpenEntry::attempt)? {
                Tried::Held(grant) => return Ok(Entered::Held(grant)),
                Tried::Refused(..) if when_busy == WhenBusy::Queue => break,
                Tried::Refused(number, refusal) => (number, refusal),
            };
            let (holder, left) = self.at(entry, |entry| entry.refused_by(number, &refusal))?;
            if left.is_some() || look == LOOKS || holder.as_ref().is_some_and(|holder| !self.store.has_ended(holder)) {
                self.close_entry(entry);
                return Ok(Entered::Busy(self.store.describe(holder, left).into()));
            }
            // Another process looks who holds it, or acquires it and has not written its record yet.
            tokio::time::sleep(SHORT).await;
        }
        self.queue(entry).await?;
        Ok(Entered::Queued)
    }

    /// Takes a place in the line; in several lines, before or after anybody else does in several.
    async fn queue(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        if entry.others.is_empty() {
            return self.at(entry, OpenEntry::queue);
        }
        let mut pause = SHORT;
        loop {
            let turn = self.store.directory.several_turn()?;
            if turn.try_lock()? {
                let queued = match turn.is_in_place() {
                    Ok(true) => Some(self.at(entry, OpenEntry::queue)),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                };
                turn.unlock();
                if let Some(queued) = queued {
                    return queued;
                }
            }
            drop(turn);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(16 * SHORT);
        }
    }

    /// Makes the entry known, unless it is.
    fn open(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        let mut entries = self.entries.lock();
        if entries.is_closed {
            return Err(closed());
        }
        if let Vacant(vacant) = entries.known.entry(entry.number) {
            vacant.insert(Arc::new(Mutex::new(OpenEntry::new(&self.store, entry)?)));
        }
        Ok(())
    }

    fn close_entry(&self, entry: &Entry) {
        let left = self.entries.lock().known.remove(&entry.number);
        // Not under the mutex: it writes to the file.
        drop(left);
        clean_up::start(&self.store);
    }

    /// Works on the entry; `Lost` if it is not open.
    fn at<T>(&self, entry: &Entry, work: impl FnOnce(&mut OpenEntry) -> Result<T, Error>) -> Result<T, Error> {
        let known = self.known(entry)?;
        work(&mut known.lock())
    }

    /// The entry; `Lost` if it is not open.
    fn known(&self, entry: &Entry) -> Result<Known, Error> {
        let entries = self.entries.lock();
        if entries.is_closed {
            return Err(closed());
        }
        entries.known.get(&entry.number).cloned().ok_or_else(|| Error::lost("the entry has left the queue"))
    }
}

fn closed() -> Error {
    Error::lost("the session is closed")
}
