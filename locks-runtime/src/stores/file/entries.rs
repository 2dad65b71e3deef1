//! One entry: a place in the line, or an open lock file and what was granted on it.

use super::emptying;
use super::line::{Line, Ticket};
use super::lock_file::{InPlace, LockFile};
use super::record::Record;
use super::shared::Shared;
use super::timeline::Extension;
use super::wait::Awaited;
use crate::contract::Entry;
use crate::contract::poll::Outcome;
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How often in a row a file may vanish between opening and locking it.
const REOPENED: u32 = 8;

/// How often the first in the line looks, where no thread waits for the lock: with the timer's millisecond on top, a hand-off
/// stays below 10 ms.
const PAUSE: Duration = Duration::from_millis(4);
/// The same for the second; those behind it look more rarely, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// An extended lock is tried this often nevertheless: it may be released by force. Waiters look around as often.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// For how long the lock is free before the first in the line, whose process does not run, loses its place.
const PASSED_OVER: Duration = Duration::from_secs(1);

/// An entry, waiting or holding. Dropping it takes the entry out of the store, unless it is extended.
#[derive(Debug)]
pub(super) struct OpenEntry {
    store: Arc<Shared>,
    entry: Arc<Entry>,
    line: Line,
    /// The lock's file, and when it was opened. One that waits behind others has not opened it.
    lock: Option<(LockFile, Moment)>,
    ticket: Option<Ticket>,
    held: Option<Held>,
    /// Since when the lock was seen to be free, though others are in front, with the state that it was in.
    free_since: Option<(Moment, InPlace)>,
}

#[derive(Debug)]
struct Held {
    fence: u64,
    extension: Option<Extension>,
    /// Whether an extension is written in the file, though it may count no more.
    is_extension_written: bool,
    /// The hold is over: the kernel's lock is released, and the file says until when the lock stays taken.
    lapses: bool,
}

/// Who has the lock, as far as its file says so, and for how long an extension keeps it.
pub(super) type Taken = (Option<Holder>, Option<Duration>);

/// What comes next for an entry in the line.
#[derive(Debug)]
pub(super) enum Next {
    Held(u64),
    /// It waits for that.
    Awaits(Awaited),
    /// Nobody can have the lock for so long.
    Sleeps(Duration),
}

impl OpenEntry {
    /// An entry that has asked for nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name.
    pub(super) fn new(store: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Self, Error> {
        let line = Line::at(store.directory.line(&entry.key)?);
        let (store, entry) = (Arc::clone(store), Arc::clone(entry));
        Ok(Self { store, entry, line, lock: None, ticket: None, held: None, free_since: None })
    }

    /// Who waits in front of one that has no place in the line.
    pub(super) fn waits_behind(&self) -> Result<Option<Holder>, Error> {
        // Whoever holds it, or waits already, asks nobody.
        if self.held.is_some() || self.ticket.is_some() || !self.line.is_there() {
            return Ok(None);
        }
        self.line.first()
    }

    /// Takes a place in the line, unless it has one or holds the lock.
    pub(super) fn queue(&mut self) -> Result<(), Error> {
        if self.ticket.as_ref().is_some_and(Ticket::is_inherited) {
            return Err(inherited());
        }
        if self.held.is_none() && self.ticket.is_none() {
            self.ticket = Some(self.line.join(&self.entry.holder)?);
            self.lock = None;
        }
        Ok(())
    }

    /// Acquires the lock if it is free and it is this entry's turn.
    pub(super) fn next(&mut self) -> Result<Next, Error> {
        let is_valid = self.ticket.as_ref().map_or(Ok(false), Ticket::is_valid)?;
        if !is_valid && self.held.is_none() {
            // It was passed over, for its process did nothing when it was its turn.
            self.ticket = None;
            self.queue()?;
        }
        let Some(ahead) = self.ticket.as_ref().map_or(Ok(None), Ticket::ahead)? else {
            return Ok(match self.attempt()? {
                Outcome::Acquired(fence) => {
                    self.ticket = None;
                    Next::Held(fence)
                }
                Outcome::Busy => {
                    let path = self.store.directory.path_of(&self.entry.key)?;
                    Next::Awaits(Awaited { path, pause: PAUSE, limit: LOOK_AROUND })
                }
                Outcome::BusyFor(left) => Next::Sleeps(left.min(LOOK_AROUND)),
            });
        };
        self.pass_over_sleepers(ahead.count)?;
        let pause = (PAUSE * ahead.count).min(LONGEST_PAUSE);
        Ok(Next::Awaits(Awaited { path: ahead.nearest, pause, limit: LOOK_AROUND * ahead.count.min(100) }))
    }

    /// Takes its place from the first one in the line, if nobody has acquired a free lock for long: that process is stopped. Who
    /// has more in front waits longer, so that each of them has its chance.
    fn pass_over_sleepers(&mut self, ahead: u32) -> Result<(), Error> {
        let free = match self.store.directory.existing(&self.entry.key, false)? {
            Some(lock) if !lock.is_locked()? && self.store.extended_for(&lock.read_head()?).is_none() => {
                lock.in_place()?
            }
            _ => None,
        };
        let now = self.store.world.now();
        match (free, self.free_since) {
            (Some(found), Some((since, before))) if found == before => {
                if now.since(since) >= PASSED_OVER * ahead {
                    self.free_since = None;
                    return self.ticket.as_ref().map_or(Ok(()), Ticket::pass_over_first);
                }
            }
            (found, _) => self.free_since = found.map(|found| (now, found)),
        }
        Ok(())
    }

    /// Duplicates of the open file that has the kernel's lock, if this entry holds it.
    pub(super) fn descriptors(&mut self) -> Result<Vec<OwnedFd>, Error> {
        let locked = self.lock.iter().filter(|_| self.held.as_ref().is_some_and(|held| !held.lapses));
        locked.map(|(lock, _)| lock.duplicate()).collect()
    }

    /// Acquires the lock if it is free, and returns the fence; the same one again if it is ours already.
    pub(super) fn attempt(&mut self) -> Result<Outcome<u64>, Error> {
        if let Some(held) = &self.held {
            return match self.is_inherited() {
                false => Ok(Outcome::Acquired(held.fence)),
                true => Err(inherited()),
            };
        }
        for _ in 0..REOPENED {
            let (lock, opened) = match self.lock.take() {
                Some(open) => open,
                None => self.open()?,
            };
            let (lock, _) = self.lock.insert((lock, opened));
            if !lock.try_lock()? {
                return Ok(Outcome::Busy);
            }
            let answer = match lock.in_place() {
                Ok(Some(found)) => self.record_hold(found),
                // Closing the former file unlocks it.
                Ok(None) => {
                    self.lock = None;
                    continue;
                }
                Err(error) => Err(error),
            };
            if !matches!(answer, Ok(Outcome::Acquired(_))) {
                self.unlock();
            }
            return answer;
        }
        Ok(Outcome::Busy)
    }

    fn open(&self) -> Result<(LockFile, Moment), Error> {
        let now = self.store.world.now();
        match self.store.parked.take(&self.entry.key, now) {
            Some(parked) => Ok(parked),
            None => Ok((self.store.directory.open(&self.entry.key)?, now)),
        }
    }

    /// Writes into the file, which we have locked, that we hold the lock; unless it is extended for another.
    fn record_hold(&mut self, found: InPlace) -> Result<Outcome<u64>, Error> {
        let lock = self.lock()?;
        let length = usize::try_from(found.length).unwrap_or(usize::MAX);
        let former = if length == 0 { Record::default() } else { lock.read_head()? };
        if let Some(left) = self.store.extended_for(&former) {
            return Ok(Outcome::BusyFor(left));
        }
        if former.fence.is_none() && length > 0 {
            tracing::warn!(target: TARGET, key = %self.entry.key.shown(), "the lock's file is damaged; its fence goes on from the wall clock");
        }
        let fence = self.store.next_fence(&former)?;
        let record = Record { fence: Some(fence), extension: None, holder: Some(Holder::clone(&self.entry.holder)) };
        if let Err(error) = lock.write(&record, length) {
            // Half a record names nobody. The directory's counter is not below the fence.
            let _ = lock.clear();
            return Err(error);
        }
        self.held = Some(Held { fence, extension: None, is_extension_written: false, lapses: false });
        Ok(Outcome::Acquired(fence))
    }

    /// Writes down that the lock stays taken for `least`, whatever happens to this process.
    pub(super) fn extend(&mut self, least: Duration) -> Result<(), Error> {
        let extension = self.store.timeline.after(least);
        let Some(held) = self.held.as_mut().filter(|_| self.lock.is_some()) else {
            return Err(Error::lost("the entry does not hold the lock"));
        };
        if let Some((lock, _)) = &self.lock {
            held.is_extension_written = true;
            lock.write_extension(Some(&extension))?;
        }
        held.extension = Some(extension);
        Ok(())
    }

    /// The hold is over, and the lock stays taken for `rest` by what is written down.
    pub(super) fn lapse(&mut self, rest: Duration) -> Result<(), Error> {
        let lapses = self.held.as_ref().is_some_and(|held| held.lapses);
        if self.held.is_some() && !(self.lock()?.is_in_place()? && self.is_recorded()?) {
            return Err(Error::lost("the lock has lapsed, or was released by force"));
        }
        if lapses {
            return Ok(());
        }
        self.extend(rest)?;
        if let Some(held) = &mut self.held {
            held.lapses = true;
        }
        self.unlock();
        Ok(())
    }

    /// Takes the entry out, extended or lapsing or not. `false` if that has to be tried again in a moment, since somebody
    /// looks at the file.
    pub(super) fn leave(&mut self) -> Result<bool, Error> {
        if self.is_inherited() {
            return Ok(true);
        }
        if self.held.as_ref().is_some_and(|held| held.lapses) {
            // Whoever comes next writes another fence.
            if self.is_recorded()? {
                let lock = self.lock()?;
                if !lock.try_lock()? {
                    return Ok(false);
                }
                let cleared = self.is_recorded().and_then(|is_ours| if is_ours { lock.clear() } else { Ok(()) });
                lock.unlock();
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
        let is_inherited = self.is_inherited();
        let timeline = &self.store.timeline;
        let Some(held) = self.held.as_mut().filter(|_| !is_inherited) else { return false };
        let stays = held.extension.as_ref().is_some_and(|extension| timeline.left(extension).is_some());
        if stays && !std::mem::replace(&mut held.lapses, true) {
            self.unlock();
        }
        stays
    }

    /// Whether the file still says that this entry was the last to hold the lock.
    fn is_recorded(&self) -> Result<bool, Error> {
        let record = self.lock()?.read_head()?;
        Ok(self.held.as_ref().is_some_and(|held| record.fence == Some(held.fence)))
    }

    /// Who holds the lock, according to its file.
    pub(super) fn holder(&self) -> Result<Option<Holder>, Error> {
        match &self.lock {
            Some((lock, _)) => lock.read().map(|(record, _)| record.holder),
            None => Ok(None),
        }
    }

    /// Who has the lock, if somebody does, and for how long it stays taken by what is written down.
    pub(super) fn holder_now(&self) -> Result<Option<Taken>, Error> {
        let Some(lock) = self.store.directory.existing(&self.entry.key, false)? else { return Ok(None) };
        let (record, _) = lock.read()?;
        let left = self.store.extended_for(&record);
        Ok((left.is_some() || lock.is_locked()?).then_some((record.holder, left)))
    }

    /// Whether the file was deleted or replaced under a hold. What the system cannot say counts as no.
    pub(super) fn is_removed(&self) -> bool {
        let lock = self.lock.as_ref().filter(|_| self.held.as_ref().is_some_and(|held| !held.lapses));
        lock.is_some_and(|(lock, _)| matches!(lock.is_in_place(), Ok(false)))
    }

    fn is_inherited(&self) -> bool {
        self.lock.as_ref().is_some_and(|(lock, _)| lock.is_inherited())
    }

    fn lock(&self) -> Result<&LockFile, Error> {
        let closed = || Error::lost("the entry does not hold the lock");
        self.lock.as_ref().map(|(lock, _)| lock).ok_or_else(closed)
    }

    fn unlock(&self) {
        if let Some((lock, _)) = &self.lock {
            lock.unlock();
        }
    }
}

fn inherited() -> Error {
    Error::lost("this process was forked from the one that entered; open a client after the fork")
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        // A waiter has its ticket in the store, and a forked child must not touch what is its parent's.
        // One that lapses is in the file only.
        let Some(held) = self.held.take().filter(|held| !held.lapses) else { return };
        let Some((lock, opened)) = self.lock.take().filter(|(lock, _)| !lock.is_inherited()) else { return };
        if held.extension.is_some_and(|extension| self.store.timeline.left(&extension).is_some()) {
            return lock.unlock();
        }
        let is_kept = !held.is_extension_written && self.store.parked.has_room() && lock.unname().is_ok();
        if is_kept {
            lock.unlock();
            emptying::keep(&self.store, &self.entry.key, lock, opened);
            return;
        }
        if let Err(error) = lock.clear() {
            // The lock is free all the same; only the file names the former holder until the next one acquires it.
            tracing::debug!(target: TARGET, key = %self.entry.key.shown(), error = %error.chain(), "a released lock's record stays in its file");
        }
        lock.unlock();
    }
}
