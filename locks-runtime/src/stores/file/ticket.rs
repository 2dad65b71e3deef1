//! The ticket of one entry in the line for one lock.

use super::line::Line;
use super::lock_file::LockFile;
use super::place::{Place, Wanted};
use super::record::{FIRST_BYTE, Record};
use super::shared::Shared;
use super::timeline::Extension;
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::os::fd::OwnedFd;

/// How often in a row the line may change under one that joins it.
const TRIES: u32 = 1000;

/// A place in the line. Dropping it gives it up, unless it is extended.
#[derive(Debug)]
pub(super) struct Ticket {
    line: Line,
    place: Place,
    file: LockFile,
    /// The hold is over, and what is written in the ticket keeps the lock taken.
    stays: bool,
}

impl Ticket {
    /// Another descriptor of the same open file.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Error> {
        self.file.duplicate()
    }

    /// Takes the last place in the line; returns those in front of a reader or a permit, too.
    pub(super) fn join(store: &Shared, line: &Line, wanted: Wanted) -> Result<(Self, Vec<Place>), Error> {
        for _ in 0..TRIES {
            let number = if line.make()? { 1 } else { line.places()?.last().map_or(1, Place::next_number) };
            if let Some(joined) = Self::take(store, line, wanted, number)? {
                return Ok(joined);
            }
        }
        Err(Error::unavailable("the line of those who wait for the lock changes too fast"))
    }

    /// Takes the place with this number, if that is the last one by now.
    ///
    /// No reader and no permit gets a place in front of another that was there before: who has decided by those in front need
    /// not look again. Two that come at the same moment see each other, and the one in front gives its place up.
    pub(super) fn take(
        store: &Shared,
        line: &Line,
        wanted: Wanted,
        number: u64,
    ) -> Result<Option<(Self, Vec<Place>)>, Error> {
        let word = if wanted.has_record() { store.world.bits() } else { 0 };
        let place = Place::new(number, wanted, word);
        // Another one may have taken it, or the last one before may have gone, and the directory with it.
        let Some(file) = LockFile::create_new(line.path_of(&place))? else { return Ok(None) };
        let is_locked = file.try_lock()?;
        let ticket = Self { line: line.clone(), place, file, stays: false };
        if wanted.is_exclusive() {
            // The order among those is a matter of fairness.
            return Ok((is_locked && ticket.is_valid()?).then(|| (ticket, Vec::new())));
        }
        let mut ahead = line.places()?;
        let is_last = is_locked && ahead.pop().is_some_and(|last| last == ticket.place);
        Ok(is_last.then_some((ticket, ahead)))
    }

    /// Writes down who waits, for others to read. Without room for it the place is as good.
    pub(super) fn write_waiter(&self, holder: &Holder) {
        let text = if self.place.wanted.has_record() { Record::of(holder, 0).to_bytes() } else { holder.to_json() };
        let _ = self.file.write_text(&text);
    }

    /// Writes down who holds the lock by this ticket, with its fence.
    pub(super) fn write_holder(&self, holder: &Holder, fence: u64) -> Result<(), Error> {
        self.file.write(&Record::of(holder, fence), 0)
    }

    /// Writes down until when the lock stays taken.
    pub(super) fn write_extension(&self, extension: &Extension) -> Result<(), Error> {
        self.file.write_extension(Some(extension))
    }

    /// Shows that its process is alive though it leaves alone a lock that is free.
    pub(super) fn touch(&self) {
        if self.place.wanted.has_record() {
            // It changes nothing but the time. It is only a sign of life, and comes again.
            let _ = self.file.write_text(FIRST_BYTE);
        }
    }

    /// Whether it still counts: it was not taken away while its process did nothing.
    pub(super) fn is_valid(&self) -> Result<bool, Error> {
        self.file.is_in_place()
    }

    /// Whether this process has it from the one that forked it.
    pub(super) fn is_inherited(&self) -> bool {
        self.file.is_inherited()
    }

    /// Those in front, some of which may be of dead processes.
    pub(super) fn ahead(&self) -> Result<Vec<Place>, Error> {
        let mut places = self.line.places()?;
        places.retain(|place| *place < self.place);
        Ok(places)
    }

    #[cfg(test)]
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The hold is over, and the ticket stays for as long as it is extended.
    pub(super) fn lapse(&mut self) {
        self.stays = true;
        self.file.unlock();
    }

    /// Takes a ticket that stays out of the line. Its name is its own.
    pub(super) fn withdraw(&mut self) -> Result<(), Error> {
        self.line.remove(&self.place)?;
        self.line.remove_if_empty();
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A forked child must not take its parent's place away.
        if self.stays || self.file.is_inherited() {
            return;
        }
        // One that was passed over is there no more, and a mere number may be another's.
        if self.place.wanted.has_record() || self.file.is_in_place().is_ok_and(|is_in_place| is_in_place) {
            let _ = self.line.remove(&self.place);
        }
        self.file.unlock();
        self.line.remove_if_empty();
    }
}
