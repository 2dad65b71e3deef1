//! One entry: its lock, or its several locks, which it holds at one moment or not at all.
//!
//! Who waits for several has a place in the line for each of them, and holds none of them meanwhile. All such entries join their
//! lines one after another, so that the order of two of them is the same in every line: they never wait for each other.

use super::hold::Hold;
use super::lock::{Holding, LOOK_AROUND, OpenLock, Pause, Refusal, not_held};
use super::shared::Shared;
use crate::contract::{Entry, Grant};
use crate::values::error::Error;
use crate::world::clock::Moment;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// An entry, waiting or holding. Dropping it takes the entry out of the store, unless it is extended.
#[derive(Debug)]
pub(super) struct OpenEntry {
    store: Arc<Shared>,
    first: OpenLock,
    others: Vec<OpenLock>,
    /// When its tickets were last changed while it waited for several.
    shown: Option<Moment>,
}

/// The outcome of a try.
#[derive(Debug)]
pub(super) enum Tried {
    Held(Grant),
    /// This one of the locks was not to be had.
    Refused(usize, Refusal),
}

/// What comes next for an entry in the line.
#[derive(Debug)]
pub(super) enum Next {
    Held(Grant),
    Waits(Pause),
    /// It lost a place in one of its lines, and has to join all of them again.
    Queues,
}

impl OpenEntry {
    /// An entry that has asked for nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if a key makes no file name.
    pub(super) fn new(store: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Self, Error> {
        let open = |key| OpenLock::new(store, entry, key);
        let others = entry.others.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { store: Arc::clone(store), first: open(&entry.key)?, others, shown: None })
    }

    fn locks(&self) -> impl Iterator<Item = &OpenLock> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn locks_mut(&mut self) -> impl Iterator<Item = &mut OpenLock> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// Who is in the way of one that has no place in the line.
    pub(super) fn waits_behind(&self) -> Result<Option<Holding>, Error> {
        self.locks().find_map(|lock| lock.waits_behind().transpose()).transpose()
    }

    /// Who has the first of its locks that somebody has alone.
    pub(super) fn holder_now(&self) -> Result<Option<Holding>, Error> {
        self.locks().find_map(|lock| lock.holder_now().transpose()).transpose()
    }

    /// Who has the lock after a try that was refused.
    pub(super) fn refused_by(&self, number: usize, refusal: &Refusal) -> Result<Holding, Error> {
        self.locks().nth(number).map_or(Ok((None, None)), |lock| lock.refused_by(refusal))
    }

    /// Takes a place in every line, unless it has one or holds the locks. One of several is alone in this.
    pub(super) fn queue(&mut self) -> Result<(), Error> {
        let queued = self.locks_mut().try_for_each(OpenLock::queue);
        if queued.is_err() {
            self.leave_lines();
        }
        queued
    }

    /// Whether it has a place in every line, of which none was taken away.
    fn is_queued(&self) -> Result<bool, Error> {
        let all = |all, lock: &OpenLock| Ok(all && lock.is_queued()?);
        self.locks().try_fold(true, all)
    }

    fn leave_lines(&mut self) {
        if !self.others.is_empty() {
            self.locks_mut().for_each(OpenLock::leave_line);
        }
    }

    /// Acquires the locks if they are free and it is this entry's turn.
    pub(super) fn next(&mut self) -> Result<Next, Error> {
        if let Some(grant) = self.grant()? {
            return Ok(Next::Held(grant));
        }
        if !self.is_queued()? {
            self.locks_mut().for_each(OpenLock::leave_line);
            if !self.others.is_empty() {
                return Ok(Next::Queues);
            }
            self.queue()?;
        }
        let in_front = self.locks_mut().find_map(|lock| lock.in_front().transpose()).transpose()?;
        if let Some(pause) = in_front {
            self.show_up();
            return Ok(Next::Waits(pause));
        }
        match self.try_all()? {
            Tried::Held(grant) => Ok(Next::Held(grant)),
            Tried::Refused(number, refusal) => {
                self.show_up();
                let pause = self.locks().nth(number).map(|lock| lock.pause_after(&refusal)).transpose()?;
                Ok(Next::Waits(pause.unwrap_or(Pause::Sleeps(LOOK_AROUND))))
            }
        }
    }

    /// Acquires the locks if they are free, and returns their fences; the same ones again if they are ours already.
    pub(super) fn attempt(&mut self) -> Result<Tried, Error> {
        if let Some(grant) = self.grant()? {
            return Ok(Tried::Held(grant));
        }
        let is_queued = self.is_queued()?;
        let tried = self.try_all();
        if !is_queued && !matches!(tried, Ok(Tried::Held(_))) {
            // These places are in no order to those of others.
            self.leave_lines();
        }
        tried
    }

    /// Duplicates of the open files by which this entry holds its locks.
    pub(super) fn descriptors(&mut self) -> Result<Vec<OwnedFd>, Error> {
        let mut all = Vec::new();
        for lock in self.locks() {
            all.extend(lock.descriptors()?);
        }
        Ok(all)
    }

    /// What was granted, if it holds.
    fn grant(&self) -> Result<Option<Grant>, Error> {
        let Some(fence) = self.first.fence()? else { return Ok(None) };
        let others = self.others.iter().map(|lock| lock.fence().and_then(|fence| fence.ok_or_else(not_held)));
        let mut grant = Grant::new(fence);
        grant.others = others.collect::<Result<_, _>>()?;
        Ok(Some(grant))
    }

    fn try_all(&mut self) -> Result<Tried, Error> {
        for number in 0..=self.others.len() {
            let taken = match self.locks_mut().nth(number).map(OpenLock::take).transpose() {
                Ok(None | Some(None)) => continue,
                Ok(Some(Some(refusal))) => Ok(Tried::Refused(number, refusal)),
                Err(error) => Err(error),
            };
            self.locks_mut().take(number).for_each(OpenLock::give_up);
            return taken;
        }
        let recorded = self.locks_mut().try_for_each(|lock| lock.record().map(drop));
        if let Err(error) = recorded {
            // Those that were not recorded are only taken.
            self.locks_mut().for_each(|lock| {
                lock.release();
                lock.give_up();
            });
            self.leave_lines();
            return Err(error);
        }
        self.grant().and_then(|grant| grant.map(Tried::Held).ok_or_else(not_held))
    }

    /// Shows now and then that its process is alone in not having the locks.
    fn show_up(&mut self) {
        let now = self.store.world.now();
        if !self.others.is_empty() && self.shown.is_none_or(|shown| now.since(shown) >= LOOK_AROUND / 2) {
            self.shown = Some(now);
            self.locks().for_each(OpenLock::show_up);
        }
    }

    /// Writes down that the locks stay taken for `least`, whatever happens to this process.
    pub(super) fn extend(&mut self, least: Duration) -> Result<(), Error> {
        self.locks_mut().try_for_each(|lock| lock.held().ok_or_else(not_held)?.extend(least))
    }

    /// The hold is over, and the locks stay taken for `rest` by what is written down.
    pub(super) fn lapse(&mut self, rest: Duration) -> Result<(), Error> {
        self.locks_mut().try_for_each(|lock| lock.held().ok_or_else(not_held)?.lapse(rest))
    }

    /// `Lost` unless it holds its locks, by files that are still in their places.
    pub(super) fn check_held(&mut self) -> Result<(), Error> {
        if self.grant()?.is_some() && !self.is_removed() { Ok(()) } else { Err(not_held()) }
    }

    /// Takes the entry out, extended or lapsing or not. `false` if that has to be tried again in a moment, since somebody
    /// looks at a file.
    pub(super) fn leave(&mut self) -> Result<bool, Error> {
        for lock in self.locks_mut() {
            if !lock.held().map_or(Ok(true), Hold::leave)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The session is closed: whether the entry stays nevertheless, until its time is over.
    pub(super) fn stays(&mut self) -> bool {
        let mut any = false;
        for lock in self.locks_mut() {
            any |= lock.held().is_some_and(Hold::stays);
        }
        any
    }

    /// Whether a file was deleted or replaced under a hold.
    pub(super) fn is_removed(&mut self) -> bool {
        self.locks_mut().any(|lock| lock.held().is_some_and(|hold| hold.is_removed()))
    }
}
