//! One lock that is held: its open file, which the kernel has locked for us, and the ticket of a reader or a permit.

use super::emptying;
use super::lock_file::LockFile;
use super::shared::Shared;
use super::ticket::Ticket;
use super::timeline::Extension;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A hold.
#[derive(Debug)]
pub(super) struct Hold {
    store: Arc<Shared>,
    key: Key,
    pub(super) fence: u64,
    /// The lock's file, and when it was opened.
    lock: LockFile,
    opened: Moment,
    /// Of whoever does not hold the lock alone: it has the record.
    ticket: Option<Ticket>,
    extension: Option<Extension>,
    /// Whether an extension is written in the file, though it may count no more.
    is_extension_written: bool,
    /// The hold is over: the kernel's lock is released, and it is written down until when the lock stays taken.
    lapses: bool,
}

impl Hold {
    /// A hold that is written down, in the file or in the ticket.
    pub(super) fn new(
        store: &Arc<Shared>,
        key: &Key,
        fence: u64,
        (lock, opened): (LockFile, Moment),
        ticket: Option<Ticket>,
    ) -> Self {
        let (store, key) = (Arc::clone(store), key.clone());
        Self { store, key, fence, lock, opened, ticket, extension: None, is_extension_written: false, lapses: false }
    }

    /// Duplicates of the open files that have the kernel's locks: the lock's, and of a reader or a permit its place's.
    pub(super) fn descriptors(&self) -> Result<Vec<OwnedFd>, Error> {
        if self.lapses {
            return Ok(Vec::new());
        }
        let place = self.ticket.iter().map(Ticket::duplicate);
        std::iter::once(self.lock.duplicate()).chain(place).collect()
    }

    /// Writes down that the lock stays taken for `least`, whatever happens to this process.
    pub(super) fn extend(&mut self, least: Duration) -> Result<(), Error> {
        let extension = self.store.timeline.after(least);
        self.is_extension_written = true;
        match &self.ticket {
            Some(ticket) => ticket.write_extension(&extension)?,
            None => self.lock.write_extension(Some(&extension))?,
        }
        self.extension = Some(extension);
        Ok(())
    }

    /// The hold is over, and the lock stays taken for `rest` by what is written down.
    pub(super) fn lapse(&mut self, rest: Duration) -> Result<(), Error> {
        if !(self.lock.is_in_place()? && self.is_recorded()?) {
            return Err(Error::lost("the lock has lapsed, or was released by force"));
        }
        if self.lapses {
            return Ok(());
        }
        self.extend(rest)?;
        self.let_lapse();
        Ok(())
    }

    fn let_lapse(&mut self) {
        self.lapses = true;
        // First: who has the lock's file locked alone then finds it extended.
        if let Some(ticket) = &mut self.ticket {
            ticket.lapse();
        }
        self.lock.unlock();
    }

    /// Takes it out, extended or lapsing or not; [releasing](Self::release) it is what is left to do. `false` if that has to be tried again in a
    /// moment, since somebody looks at the file.
    pub(super) fn leave(&mut self) -> Result<bool, Error> {
        if self.is_inherited() {
            return Ok(true);
        }
        self.extension = None;
        if !self.lapses {
            return Ok(true);
        }
        if let Some(ticket) = &mut self.ticket {
            return ticket.withdraw().map(|()| true);
        }
        // Whoever comes next writes another fence.
        if self.is_recorded()? {
            if !self.lock.try_lock()? {
                return Ok(false);
            }
            let clear = |is_ours| if is_ours { self.lock.clear() } else { Ok(()) };
            let cleared = self.is_recorded().and_then(clear);
            self.lock.unlock();
            cleared?;
        }
        Ok(true)
    }

    /// The session is closed: whether the hold stays nevertheless, until its time is over.
    pub(super) fn stays(&mut self) -> bool {
        let stays = !self.is_inherited() && self.is_extended();
        if stays && !self.lapses {
            self.let_lapse();
        }
        stays
    }

    fn is_extended(&self) -> bool {
        self.extension.as_ref().is_some_and(|extension| self.store.timeline.left(extension).is_some())
    }

    /// Whether it is still written down that this hold was the last one, or is one of those that share the lock.
    fn is_recorded(&self) -> Result<bool, Error> {
        match &self.ticket {
            Some(ticket) => ticket.is_valid(),
            None => Ok(self.lock.read_head()?.fence == Some(self.fence)),
        }
    }

    /// Whether a file of it was deleted or replaced. What the system cannot say counts as no.
    pub(super) fn is_removed(&self) -> bool {
        let is_gone = |in_place: Result<bool, Error>| matches!(in_place, Ok(false));
        !self.lapses
            && (is_gone(self.lock.is_in_place())
                || self.ticket.as_ref().is_some_and(|ticket| is_gone(ticket.is_valid())))
    }

    /// Whether this process has it from the one that forked it.
    pub(super) fn is_inherited(&self) -> bool {
        self.lock.is_inherited()
    }

    /// Releases the lock, unless it is extended.
    pub(super) fn release(mut self) {
        // One that lapses is in its file only, and a forked child must not touch what is its parent's.
        if self.lapses || self.is_inherited() {
            return;
        }
        if self.is_extended() {
            return self.let_lapse();
        }
        let Self { store, key, lock, opened, ticket, .. } = self;
        let has_room = store.parked.has_room();
        let is_alone = ticket.is_none();
        // What the file says of those who share the lock is the same for each of them.
        let is_kept = has_room && (!is_alone || (!self.is_extension_written && lock.unname().is_ok()));
        if !is_kept
            && is_alone
            && let Err(error) = lock.clear()
        {
            // The lock is free all the same; only the file names the former holder until the next one acquires it.
            tracing::debug!(target: TARGET, key = %key.shown(), error = %error.chain(), "a released lock's record stays in its file");
        }
        lock.unlock();
        // Who waits for the ticket finds the file unlocked.
        drop(ticket);
        match (is_kept, is_alone) {
            (true, _) => emptying::keep(&store, &key, lock, opened),
            (false, true) => {}
            (false, false) => emptying::empty_now(&store, &lock),
        }
    }
}
