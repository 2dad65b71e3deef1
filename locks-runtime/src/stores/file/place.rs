//! One entry: an open lock file, and what was granted on it.

use super::Inner;
use super::lock_file::LockFile;
use super::record::Record;
use super::timeline::Kept;
use crate::contract::Entry;
use crate::contract::poll::Outcome;
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::world::clock::wall_ms;
use std::sync::Arc;
use std::time::Duration;

/// How often in a row a file may vanish between opening and locking it.
const REOPENED: u32 = 8;

/// An entry's place, waiting or holding. Dropping it takes the entry out of the line.
#[derive(Debug)]
pub(super) struct Place {
    store: Arc<Inner>,
    entry: Arc<Entry>,
    lock: LockFile,
    grant: Option<Grant>,
}

#[derive(Debug)]
struct Grant {
    fence: u64,
    kept: Option<Kept>,
}

impl Place {
    /// Opens the lock's file, and takes nothing yet.
    pub(super) fn new(store: &Arc<Inner>, entry: &Arc<Entry>) -> Result<Self, Error> {
        let lock = store.directory.open(&entry.key)?;
        Ok(Self { store: Arc::clone(store), entry: Arc::clone(entry), lock, grant: None })
    }

    /// Takes the lock if it is free, and gives the fence; the same one again if it is ours already.
    pub(super) fn attempt(&mut self) -> Result<Outcome<u64>, Error> {
        if self.lock.is_inherited() {
            return Err(Error::lost("this process was forked from the one that entered; open a client after the fork"));
        }
        if let Some(grant) = &self.grant {
            return Ok(Outcome::Acquired(grant.fence));
        }
        for _ in 0..REOPENED {
            if !self.lock.try_lock()? {
                return Ok(Outcome::Busy);
            }
            let answer = match self.lock.is_in_place() {
                Ok(true) => self.take(),
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

    /// Makes the file, locked by us, say so; unless it is kept for somebody else.
    fn take(&mut self) -> Result<Outcome<u64>, Error> {
        let (former, length) = self.lock.read()?;
        if let Some(left) = self.store.kept_for(&former) {
            return Ok(Outcome::BusyFor(left));
        }
        if former.fence.is_none() && length > 0 {
            tracing::warn!(key = %self.entry.key, "the lock's file is damaged; its fence goes on from the wall clock");
        }
        let fence = former.next_fence(wall_ms());
        let record = Record { fence: Some(fence), kept: None, holder: Some(Holder::clone(&self.entry.holder)) };
        self.lock.write(&record, length)?;
        self.grant = Some(Grant { fence, kept: None });
        Ok(Outcome::Acquired(fence))
    }

    /// Writes down that the lock stays taken for `least`, whatever becomes of this process.
    pub(super) fn keep(&mut self, least: Duration) -> Result<(), Error> {
        let Some(grant) = &mut self.grant else {
            return Err(Error::lost("the entry does not hold the lock"));
        };
        let kept = self.store.timeline.after(least);
        self.lock.write_kept(Some(&kept))?;
        grant.kept = Some(kept);
        Ok(())
    }

    /// Who holds the lock, as its file tells.
    pub(super) fn holder(&self) -> Result<Option<Holder>, Error> {
        self.lock.read().map(|(record, _)| record.holder)
    }

    /// Whether somebody deleted or replaced the file under a hold. What the system does not tell counts as no.
    pub(super) fn is_removed(&self) -> bool {
        self.grant.is_some() && matches!(self.lock.is_in_place(), Ok(false))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Who waits has nothing in the store, and a forked child must not touch what is its parent's.
        let Some(grant) = self.grant.take().filter(|_| !self.lock.is_inherited()) else { return };
        let is_kept = grant.kept.is_some_and(|kept| self.store.timeline.left(&kept).is_some());
        if !is_kept && let Err(error) = self.lock.clear_holder() {
            // The lock is free all the same; only the file names the former holder until the next one comes.
            tracing::debug!(key = %self.entry.key, %error, "a released lock's record stays in its file");
        }
        self.lock.unlock();
    }
}
