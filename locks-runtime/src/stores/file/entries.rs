//! One entry: an open lock file, and what was granted on it.

use super::lock_file::LockFile;
use super::record::Record;
use super::shared::Shared;
use super::timeline::Extension;
use crate::contract::Entry;
use crate::contract::poll::Outcome;
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::target::TARGET;
use std::sync::Arc;
use std::time::Duration;

/// How often in a row a file may vanish between opening and locking it.
const REOPENED: u32 = 8;

/// An entry, waiting or holding. Dropping it takes the entry out of the store, unless it is extended.
#[derive(Debug)]
pub(super) struct OpenEntry {
    store: Arc<Shared>,
    entry: Arc<Entry>,
    lock: LockFile,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    fence: u64,
    extension: Option<Extension>,
    /// The hold is over: the kernel's lock is released, and the file says until when the lock stays taken.
    lapses: bool,
}

impl OpenEntry {
    /// Opens the lock's file, and locks nothing yet.
    pub(super) fn new(store: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Self, Error> {
        let lock = store.directory.open(&entry.key)?;
        Ok(Self { store: Arc::clone(store), entry: Arc::clone(entry), lock, held: None })
    }

    /// Acquires the lock if it is free, and returns the fence; the same one again if it is ours already.
    pub(super) fn attempt(&mut self) -> Result<Outcome<u64>, Error> {
        if self.lock.is_inherited() {
            return Err(Error::lost("this process was forked from the one that entered; open a client after the fork"));
        }
        if let Some(held) = &self.held {
            return Ok(Outcome::Acquired(held.fence));
        }
        for _ in 0..REOPENED {
            if !self.lock.try_lock()? {
                return Ok(Outcome::Busy);
            }
            let answer = match self.lock.is_in_place() {
                Ok(true) => self.record_hold(),
                Ok(false) => {
                    // Closing the former file unlocks it.
                    self.lock = self.store.directory.open(&self.entry.key)?;
                    continue;
                }
                Err(error) => Err(error),
            };
            if !matches!(answer, Ok(Outcome::Acquired(_))) {
                self.lock.unlock();
            }
            return answer;
        }
        Ok(Outcome::Busy)
    }

    /// Writes into the file, which we have locked, that we hold the lock; unless it is extended for another.
    fn record_hold(&mut self) -> Result<Outcome<u64>, Error> {
        let (former, length) = self.lock.read()?;
        if let Some(left) = self.store.extended_for(&former) {
            return Ok(Outcome::BusyFor(left));
        }
        if former.fence.is_none() && length > 0 {
            tracing::warn!(target: TARGET, key = %self.entry.key.shown(), "the lock's file is damaged; its fence goes on from the wall clock");
        }
        let fence = self.store.next_fence(&former)?;
        let record = Record { fence: Some(fence), extension: None, holder: Some(Holder::clone(&self.entry.holder)) };
        if let Err(error) = self.lock.write(&record, length) {
            // Half a record names nobody. The fence is in the directory's counter.
            let _ = self.lock.clear();
            return Err(error);
        }
        self.held = Some(Held { fence, extension: None, lapses: false });
        Ok(Outcome::Acquired(fence))
    }

    /// Writes down that the lock stays taken for `least`, whatever happens to this process.
    pub(super) fn extend(&mut self, least: Duration) -> Result<(), Error> {
        let Some(held) = &mut self.held else {
            return Err(Error::lost("the entry does not hold the lock"));
        };
        let extension = self.store.timeline.after(least);
        self.lock.write_extension(Some(&extension))?;
        held.extension = Some(extension);
        Ok(())
    }

    /// The hold is over, and the lock stays taken for `rest` by what is written down.
    pub(super) fn lapse(&mut self, rest: Duration) -> Result<(), Error> {
        let lapses = self.held.as_ref().is_some_and(|held| held.lapses);
        if self.held.is_some() && !(self.lock.is_in_place()? && self.is_recorded()?) {
            return Err(Error::lost("the lock has lapsed, or was released by force"));
        }
        if lapses {
            return Ok(());
        }
        self.extend(rest)?;
        if let Some(held) = &mut self.held {
            held.lapses = true;
        }
        self.lock.unlock();
        Ok(())
    }

    /// Takes the entry out, extended or lapsing or not. `false` if that has to be tried again in a moment, since somebody
    /// looks at the file.
    pub(super) fn leave(&mut self) -> Result<bool, Error> {
        if self.lock.is_inherited() {
            return Ok(true);
        }
        if self.held.as_ref().is_some_and(|held| held.lapses) {
            // Whoever comes next writes another fence.
            if self.is_recorded()? {
                if !self.lock.try_lock()? {
                    return Ok(false);
                }
                let cleared = self.is_recorded().and_then(|is_ours| if is_ours { self.lock.clear() } else { Ok(()) });
                self.lock.unlock();
                cleared?;
            }
            self.held = None;
        }
        if let Some(held) = &mut self.held {
            held.extension = None;
        }
        Ok(true)
    }

    /// The session is closed: whether the entry stays nevertheless, until its time is over.
    pub(super) fn stays(&mut self) -> bool {
        let timeline = &self.store.timeline;
        let held = self.held.as_mut().filter(|_| !self.lock.is_inherited());
        let Some(held) = held else { return false };
        let stays = held.extension.as_ref().is_some_and(|extension| timeline.left(extension).is_some());
        if stays && !held.lapses {
            held.lapses = true;
            self.lock.unlock();
        }
        stays
    }

    /// Whether the file still says that this entry was the last to hold the lock.
    fn is_recorded(&self) -> Result<bool, Error> {
        let (record, _) = self.lock.read()?;
        Ok(self.held.as_ref().is_some_and(|held| record.fence == Some(held.fence)))
    }

    /// Who holds the lock, according to its file.
    pub(super) fn holder(&self) -> Result<Option<Holder>, Error> {
        self.lock.read().map(|(record, _)| record.holder)
    }

    /// Whether the file was deleted or replaced under a hold. What the system cannot say counts as no.
    pub(super) fn is_removed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.lapses) && matches!(self.lock.is_in_place(), Ok(false))
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        // A waiter has nothing in the store, and a forked child must not touch what is its parent's.
        // One that lapses is in the file only.
        let is_ours = |held: &Held| !held.lapses && !self.lock.is_inherited();
        let Some(held) = self.held.take().filter(is_ours) else { return };
        let is_extended = held.extension.is_some_and(|extension| self.store.timeline.left(&extension).is_some());
        if !is_extended && let Err(error) = self.lock.clear() {
            // The lock is free all the same; only the file names the former holder until the next one acquires it.
            tracing::debug!(target: TARGET, key = %self.entry.key.shown(), error = %error.chain(), "a released lock's record stays in its file");
        }
        self.lock.unlock();
    }
}
