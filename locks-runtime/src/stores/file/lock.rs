//! One lock of an entry: a place in its line, or its open file and what was granted on it.

use super::hold::Hold;
use super::line::Line;
use super::lock_file::{InPlace, LockFile, Others};
use super::place::{Place, Wanted, turns};
use super::record::Record;
use super::shared::Shared;
use super::ticket::Ticket;
use super::turn::{Sleepers, obstacle};
use super::wait::Awaited;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How often in a row a file may vanish between opening and locking it.
const REOPENED: u32 = 8;

/// How often the first in the line looks, where no thread waits for the lock: with the timer's millisecond on top, a hand-off
/// stays below 10 ms.
pub(super) const PAUSE: Duration = Duration::from_millis(4);
/// The same for the second; those behind it look more rarely, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// An extended lock is tried this often nevertheless: it may be released by force. Waiters look around as often.
pub(super) const LOOK_AROUND: Duration = Duration::from_millis(100);
/// So many permits are looked at in one [`PAUSE`], for those of killed processes.
const LOOKED_AT: u32 = 8;

/// A lock, waited for or held. Dropping it takes the entry out of the store, unless it is extended.
#[derive(Debug)]
pub(super) struct OpenLock {
    store: Arc<Shared>,
    entry: Arc<Entry>,
    key: Key,
    wanted: Wanted,
    line: Line,
    /// The lock's file, and when it was opened. One that waits behind others has not opened it.
    lock: Option<(LockFile, Moment)>,
    ticket: Option<Ticket>,
    /// The kernel's lock is ours, and this was in the file, of so many bytes.
    taken: Option<(Record, usize)>,
    held: Option<Hold>,
    sleepers: Sleepers,
    /// When it was last looked for permits of killed processes.
    counted: Option<Moment>,
}

/// Who has the lock, as far as its files say so, and for how long an extension keeps it.
pub(super) type Holding = (Option<Holder>, Option<Duration>);

/// Why the lock is not to be had now.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another process has the file locked.
    Locked,
    /// It stays taken for so long.
    Extended(Duration),
    /// Others are in front.
    Behind,
}

/// What to wait for.
#[derive(Debug)]
pub(super) enum Pause {
    Awaits(Awaited),
    /// Nobody can have the lock for so long, or there is nothing that ends.
    Sleeps(Duration),
}

impl OpenLock {
    /// Duplicates of the open files by which it is held, if it is.
    pub(super) fn descriptors(&self) -> Result<Vec<OwnedFd>, Error> {
        self.held.as_ref().map_or_else(|| Ok(Vec::new()), Hold::descriptors)
    }

    /// A lock that was asked for nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name.
    pub(super) fn new(store: &Arc<Shared>, entry: &Arc<Entry>, key: &Key) -> Result<Self, Error> {
        let line = Line::at(store.directory.line(key)?);
        Ok(Self {
            store: Arc::clone(store),
            entry: Arc::clone(entry),
            key: key.clone(),
            wanted: Wanted::by(entry),
            line,
            lock: None,
            ticket: None,
            taken: None,
            held: None,
            sleepers: Sleepers::default(),
            counted: None,
        })
    }

    /// Who is in the way of one that has no place in the line.
    pub(super) fn waits_behind(&self) -> Result<Option<Holding>, Error> {
        // Whoever holds it, or waits already, asks nobody.
        if self.held.is_some() || self.ticket.is_some() || !self.line.is_there() {
            return Ok(None);
        }
        let is_free = !self.wanted.is_exclusive()
            && obstacle(&self.store, &self.line, self.wanted.mode, &self.line.places()?, true)?.is_none();
        if is_free { Ok(None) } else { self.first() }
    }

    /// The first in the line: who holds the lock beside others, if somebody does, and otherwise who is about to hold it.
    fn first(&self) -> Result<Option<Holding>, Error> {
        let first = self.line.first(&self.store)?;
        Ok(first.map(|(holder, left)| (Some(holder), left)))
    }

    /// Takes a place in the line, unless it has one or holds the lock.
    pub(super) fn queue(&mut self) -> Result<(), Error> {
        if self.ticket.as_ref().is_some_and(Ticket::is_inherited) {
            return Err(inherited());
        }
        if self.held.is_none() {
            let ticket = match self.ticket.take() {
                Some(ticket) => ticket,
                None => Ticket::join(&self.store, &self.line, self.wanted)?.0,
            };
            ticket.write_waiter(&self.entry.holder);
            self.ticket = Some(ticket);
            self.lock = None;
        }
        Ok(())
    }

    /// Gives its place in the line up.
    pub(super) fn leave_line(&mut self) {
        self.ticket = None;
    }

    /// Whether it has a place in the line, which was not taken away: it is if its process does nothing when it is its turn.
    pub(super) fn is_queued(&self) -> Result<bool, Error> {
        self.ticket.as_ref().map_or(Ok(false), Ticket::is_valid)
    }

    /// Shows that its process is alive though it leaves alone a lock that is free.
    pub(super) fn show_up(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.touch();
        }
    }

    /// What is in front of one that has a place in the line; `None` if it is its turn to try.
    pub(super) fn in_front(&mut self) -> Result<Option<Pause>, Error> {
        let ahead = self.ticket.as_ref().map_or(Ok(Vec::new()), Ticket::ahead)?;
        let count = self.is_count_due(&ahead);
        let Some(obstacle) = obstacle(&self.store, &self.line, self.wanted.mode, &ahead, count)? else {
            return Ok(None);
        };
        let turns = turns(&ahead);
        self.sleepers.pass_over(&self.store, &self.key, &self.line, &ahead)?;
        let pause = (PAUSE * turns).min(LONGEST_PAUSE);
        if obstacle.left.is_some() || obstacle.is_any {
            let left = obstacle.left.unwrap_or(LOOK_AROUND).min(LOOK_AROUND);
            return Ok(Some(Pause::Sleeps(if obstacle.is_any { pause.min(left) } else { left })));
        }
        let limit = if self.wanted.several { LOOK_AROUND } else { LOOK_AROUND * turns.min(100) };
        let path = self.line.path_of(&obstacle.place);
        Ok(Some(Pause::Awaits(Awaited { path, of: Others::Alone, pause, limit })))
    }

    fn is_count_due(&mut self, ahead: &[Place]) -> bool {
        let now = self.store.world.now();
        let each = PAUSE * (u32::try_from(ahead.len()).unwrap_or(u32::MAX) / LOOKED_AT).min(1000);
        let is_due = self.counted.is_none_or(|counted| now.since(counted) >= each);
        if is_due {
            self.counted = Some(now);
        }
        is_due
    }

    /// What to wait for after a try that was refused.
    pub(super) fn pause_after(&self, refusal: &Refusal) -> Result<Pause, Error> {
        let of = if self.wanted.is_exclusive() { Others::All } else { Others::Alone };
        Ok(match refusal {
            Refusal::Locked => {
                let path = self.store.directory.path_of(&self.key)?;
                Pause::Awaits(Awaited { path, of, pause: PAUSE, limit: LOOK_AROUND })
            }
            Refusal::Extended(left) => Pause::Sleeps((*left).min(LOOK_AROUND)),
            Refusal::Behind => Pause::Sleeps(PAUSE),
        })
    }

    /// The fence, if it holds the lock.
    pub(super) fn fence(&self) -> Result<Option<u64>, Error> {
        match &self.held {
            Some(held) if held.is_inherited() => Err(inherited()),
            held => Ok(held.as_ref().map(|held| held.fence)),
        }
    }

    /// Takes the kernel's lock, if nobody has it and nobody is in front; whatever it returns, nothing of it is written yet. A
    /// reader or a permit has a place in the line afterwards.
    pub(super) fn take(&mut self) -> Result<Option<Refusal>, Error> {
        for _ in 0..REOPENED {
            let (lock, opened) = match self.lock.take() {
                Some(open) => open,
                None => self.open()?,
            };
            let (lock, _) = self.lock.insert((lock, opened));
            if !(if self.wanted.is_exclusive() { lock.try_lock()? } else { lock.try_share()? }) {
                return Ok(Some(Refusal::Locked));
            }
            let answer = match lock.in_place() {
                Ok(Some(found)) => self.look(found),
                // Closing the former file unlocks it.
                Ok(None) => {
                    self.lock = None;
                    continue;
                }
                Err(error) => Err(error),
            };
            if !matches!(answer, Ok(None)) {
                self.give_up();
            }
            return answer;
        }
        Ok(Some(Refusal::Locked))
    }

    /// Releases the kernel's lock, of which nothing is written yet.
    pub(super) fn give_up(&mut self) {
        self.taken = None;
        if let Some((lock, _)) = &self.lock {
            lock.unlock();
        }
    }

    fn open(&self) -> Result<(LockFile, Moment), Error> {
        let now = self.store.world.now();
        match self.store.parked.take(&self.key, now) {
            Some(parked) => Ok(parked),
            None => Ok((self.store.directory.open(&self.key)?, now)),
        }
    }

    /// What the files say, of which we have locked the lock's own.
    fn look(&mut self, found: InPlace) -> Result<Option<Refusal>, Error> {
        if !self.wanted.is_exclusive()
            && let Some(refusal) = self.look_at_line()?
        {
            return Ok(Some(refusal));
        }
        let length = usize::try_from(found.length).unwrap_or(usize::MAX);
        let former = if length == 0 { Record::default() } else { self.lock()?.read_head()? };
        if let Some(left) = self.store.extended_for(&former) {
            return Ok(Some(Refusal::Extended(left)));
        }
        if former.is_shared
            && self.wanted.is_exclusive()
            && let Some(left) = self.line.extended_for(&self.store)?
        {
            return Ok(Some(Refusal::Extended(left)));
        }
        if former.fence.is_none() && length > 0 && !former.is_shared {
            tracing::warn!(target: TARGET, key = %self.key.shown(), "the lock's file is damaged; its fence goes on from the wall clock");
        }
        self.taken = Some((former, length));
        Ok(None)
    }

    /// Whether others in the line are in the way of a reader or a permit, which shares the lock's file already.
    fn look_at_line(&mut self) -> Result<Option<Refusal>, Error> {
        let ahead = match &self.ticket {
            None => {
                let (ticket, ahead) = Ticket::join(&self.store, &self.line, self.wanted)?;
                self.ticket = Some(ticket);
                ahead
            }
            // It may have been passed over a moment ago. From now on it cannot be.
            Some(ticket) if !ticket.is_valid()? => {
                self.ticket = None;
                return Ok(Some(Refusal::Locked));
            }
            Some(ticket) => ticket.ahead()?,
        };
        let obstacle = obstacle(&self.store, &self.line, self.wanted.mode, &ahead, true)?;
        Ok(obstacle.map(|_| Refusal::Behind))
    }

    /// Writes down that we hold the lock that was [taken](Self::take), and returns the fence.
    pub(super) fn record(&mut self) -> Result<u64, Error> {
        let (former, length) = self.taken.take().ok_or_else(not_held)?;
        let written = match self.wanted.is_exclusive() {
            true => self.record_alone(&former, length),
            false => self.record_shared(&former),
        };
        let written = written.and_then(|fence| Ok((fence, self.lock.take().ok_or_else(not_held)?)));
        match written {
            Ok((fence, lock)) => {
                // Whoever has it alone needs no place in the line.
                let ticket = self.ticket.take().filter(|_| !self.wanted.is_exclusive());
                self.held = Some(Hold::new(&self.store, &self.key, fence, lock, ticket));
                Ok(fence)
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    fn record_alone(&self, former: &Record, length: usize) -> Result<u64, Error> {
        let (lock, fence) = (self.lock()?, self.store.next_fence(former)?);
        if let Err(error) = lock.write(&Record::of(&self.entry.holder, fence), length) {
            // Half a record names nobody. The directory's counter is not below the fence.
            let _ = lock.clear();
            return Err(error);
        }
        Ok(fence)
    }

    fn record_shared(&mut self, former: &Record) -> Result<u64, Error> {
        let fence = self.store.next_shared_fence(former)?;
        if !former.is_shared {
            self.lock()?.write_shared()?;
        }
        let ticket = self.ticket.as_ref().ok_or_else(not_held)?;
        if let Err(error) = ticket.write_holder(&self.entry.holder, fence) {
            // Half a record names nobody, and a whole one nobody who holds it.
            self.ticket = None;
            return Err(error);
        }
        Ok(fence)
    }

    /// Who has the lock after a try that was refused.
    pub(super) fn refused_by(&self, refusal: &Refusal) -> Result<Holding, Error> {
        let left = match refusal {
            Refusal::Behind => return Ok(self.first()?.unwrap_or_default()),
            Refusal::Extended(left) => Some(*left),
            Refusal::Locked => None,
        };
        let Some((lock, _)) = &self.lock else { return Ok((None, left)) };
        let (record, _) = lock.read()?;
        if record.is_shared {
            return Ok(self.first()?.unwrap_or((None, left)));
        }
        Ok((record.holder, left))
    }

    /// Who has the lock alone, if somebody does, and for how long it stays taken by what is written down.
    pub(super) fn holder_now(&self) -> Result<Option<Holding>, Error> {
        let Some(lock) = self.store.directory.existing(&self.key, false)? else { return Ok(None) };
        let (record, _) = lock.read()?;
        let left = self.store.extended_for(&record);
        Ok((left.is_some() || lock.is_locked()?).then_some((record.holder, left)))
    }

    /// Its hold.
    pub(super) fn held(&mut self) -> Option<&mut Hold> {
        self.held.as_mut()
    }

    /// Ends its hold, if there is one, unless it is extended.
    pub(super) fn release(&mut self) {
        if let Some(hold) = self.held.take() {
            hold.release();
        }
    }

    fn lock(&self) -> Result<&LockFile, Error> {
        self.lock.as_ref().map(|(lock, _)| lock).ok_or_else(not_held)
    }
}

impl Drop for OpenLock {
    fn drop(&mut self) {
        // A waiter has its ticket in the store.
        self.release();
    }
}

pub(super) fn not_held() -> Error {
    Error::lost("the entry does not hold the lock")
}

fn inherited() -> Error {
    Error::lost("this process was forked from the one that entered; open a client after the fork")
}
