//! Those who wait for one lock, first in, first out, whatever process they are of, and those who hold it beside others: a
//! directory with a ticket for each.
//!
//! A ticket is a file that is locked for as long as its process lives, so that one of a killed process is passed over; its name
//! is its [place](super::place). Whoever holds the lock alone needs none: the lock's own file decides that hold, and the line
//! says only whose turn it is to try. Readers and permits have the lock's file locked, too, but shared; who of them holds
//! beside whom, the line decides. So each of them keeps its ticket until the hold is over, with its record.
//!
//! The directory is there while a ticket is, and each ticket goes with its entry; one that is extended stays until its time is
//! over. As with a lock's file, a ticket that was opened and locked counts if its name still leads to it: whoever finds one that
//! nobody has locked, removes it.

use super::directory::line_of;
use super::error::refused;
use super::lock_file::{LockFile, Rights};
use super::place::Place;
use super::record::Record;
use super::shared::Shared;
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind as Io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

/// The line for one lock. It need not be there.
#[derive(Clone, Debug)]
pub(super) struct Line(PathBuf);

/// Whether a ticket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its process lives.
    Alive,
    /// Its hold is extended for so long, whatever has become of its process.
    Extended(Duration),
    Gone,
}

/// A ticket that counts, with what it says.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) holder: Option<Holder>,
    /// The fence, if it holds the lock by this ticket.
    pub(super) fence: Option<u64>,
    /// For how long it is extended, whether its process lives or not.
    pub(super) left: Option<Duration>,
    /// When the record was written.
    pub(super) written_ms: Option<u64>,
}

impl Line {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The line of the lock with this file.
    pub(super) fn of(lock: &LockFile) -> Self {
        Self(line_of(lock.path()))
    }

    /// Whether there may be somebody in it.
    pub(super) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok()
    }

    /// Makes the directory, unless it is there; returns whether it did.
    pub(super) fn make(&self) -> Result<bool, Error> {
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Io::AlreadyExists => Ok(false),
            Err(error) => Err(refused("make the directory", &self.0, error)),
        }
    }

    /// Whom the line has, in order: those who wait, and those who hold the lock beside others. Whatever has changed meanwhile.
    pub(super) fn queued(&self, store: &Shared) -> Result<Vec<Queued>, Error> {
        let mut queued = Vec::new();
        for place in self.places()? {
            let Some(file) = LockFile::open(self.path_of(&place), Rights::Read)? else { continue };
            let is_alive = file.is_locked()?;
            if !place.wanted.has_record() {
                if is_alive {
                    let holder = Some(Holder::from_json(&file.read_text()?));
                    queued.push(Queued { holder, fence: None, left: None, written_ms: None });
                }
                continue;
            }
            let (Record { fence, holder, extension, .. }, _) = file.read()?;
            let left = extension.as_ref().and_then(|extension| store.timeline.left(extension));
            if is_alive || left.is_some() {
                let fence = fence.filter(|fence| *fence > 0);
                // Who writes an extension changes the time.
                let written_ms = if extension.is_none() { file.written_ms() } else { None };
                queued.push(Queued { holder, fence, left, written_ms });
            }
        }
        Ok(queued)
    }

    /// The first in it, after those whose processes have ended were removed, and for how long it is extended.
    pub(super) fn first(&self, store: &Shared) -> Result<Option<(Holder, Option<Duration>)>, Error> {
        for place in self.places()? {
            let left = match self.presence(store, &place)? {
                Presence::Gone => continue,
                Presence::Alive => None,
                Presence::Extended(left) => Some(left),
            };
            if let Some(holder) = self.holder(&place)? {
                return Ok(Some((holder, left)));
            }
        }
        self.remove_if_empty();
        Ok(None)
    }

    /// Removes what dead processes have left in it, behind whomever it is.
    pub(super) fn remove_dead(&self, store: &Shared) -> Result<(), Error> {
        for place in self.places()? {
            self.presence(store, &place)?;
        }
        self.remove_if_empty();
        Ok(())
    }

    /// The record of the one with this ticket, if it is there.
    pub(super) fn holder(&self, place: &Place) -> Result<Option<Holder>, Error> {
        let Some(file) = LockFile::open(self.path_of(place), Rights::Read)? else { return Ok(None) };
        if place.wanted.has_record() {
            let holder = file.read()?.0.holder;
            return Ok(Some(holder.unwrap_or_else(|| Holder::unknown_because("it has not written its record yet"))));
        }
        file.read_text().map(|text| Some(Holder::from_json(&text)))
    }

    /// Whether a ticket counts. Removes what a killed process has left.
    pub(super) fn presence(&self, store: &Shared, place: &Place) -> Result<Presence, Error> {
        let Some(file) = LockFile::open(self.path_of(place), Rights::Read)? else { return Ok(Presence::Gone) };
        if !file.try_lock()? {
            return Ok(Presence::Alive);
        }
        let presence = dead(store, place, &file);
        file.unlock();
        presence
    }

    /// How long the lock stays taken by those who held it beside others and have gone, for whoever has the lock's file locked
    /// alone: then no more can come.
    pub(super) fn extended_for(&self, store: &Shared) -> Result<Option<Duration>, Error> {
        let mut longest = None;
        for place in self.places()?.iter().filter(|place| place.wanted.has_record()) {
            if let Some(file) = LockFile::open(self.path_of(place), Rights::Read)? {
                longest = longest.max(store.extended_for(&file.read_head()?));
            }
        }
        Ok(longest)
    }

    /// For how long the lock with this file stays taken though nobody has the file locked but us, alone: by what is written there,
    /// or, after readers or permits, in the line.
    pub(super) fn extended_beside(&self, store: &Shared, lock: &LockFile) -> Result<Option<Duration>, Error> {
        let record = lock.read_head()?;
        if record.is_shared { self.extended_for(store) } else { Ok(store.extended_for(&record)) }
    }

    /// Ends extensions: all, or that of the hold with this fence; returns how many. Unless the lock's file is locked by us and
    /// nobody else (`is_alone`), only those whose hold is over.
    pub(super) fn end_extensions(&self, store: &Shared, fence: Option<u64>, is_alone: bool) -> Result<usize, Error> {
        let mut ended = 0;
        for place in self.places()?.iter().filter(|place| place.wanted.has_record()) {
            let Some(file) = LockFile::open(self.path_of(place), Rights::Read)? else { continue };
            let record = file.read_head()?;
            let is_meant = store.extended_for(&record).is_some() && (fence.is_none() || record.fence == fence);
            // A hold that is not over has its ticket locked.
            if is_meant && (is_alone || file.try_lock()?) {
                let removed = self.remove(place);
                file.unlock();
                removed?;
                ended += 1;
            }
        }
        self.remove_if_empty();
        Ok(ended)
    }

    /// All tickets' places, in order.
    pub(super) fn places(&self) -> Result<Vec<Place>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| refused("list", &self.0, error))?,
        };
        let mut places = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| refused("list", &self.0, error))?.file_name();
            places.extend(name.to_str().and_then(Place::parse));
        }
        places.sort_unstable();
        Ok(places)
    }

    pub(super) fn path_of(&self, place: &Place) -> PathBuf {
        self.0.join(place.name())
    }

    /// Removes a ticket, if it is there.
    pub(super) fn remove(&self, place: &Place) -> Result<(), Error> {
        let path = self.path_of(place);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != Io::NotFound => Err(refused("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// Nobody removes a directory in which somebody is.
    pub(super) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Whether a ticket that nobody had locked counts; removes it if it does not.
fn dead(store: &Shared, place: &Place, file: &LockFile) -> Result<Presence, Error> {
    if place.wanted.has_record()
        && let Some(left) = store.extended_for(&file.read_head()?)
    {
        return Ok(Presence::Extended(left));
    }
    if file.is_in_place()? {
        file.remove()?;
    }
    Ok(Presence::Gone)
}
