//! Those who wait for one lock, first in, first out, whatever process they are of: a directory with a ticket for each.
//!
//! A ticket is a file that is locked for as long as its process lives, so that one of a killed process is passed over; its name
//! is its number. The line decides nobody's hold, which the lock's own file does: it says whose turn it is to try. The
//! directory is there while somebody waits, and each ticket goes with its waiter.
//!
//! As with a lock's file, a ticket that was opened and locked counts if its name still leads to it: whoever finds one that
//! nobody has locked, removes it.

use super::error::refused;
use super::lock_file::{LockFile, Rights};
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind as Io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How often in a row the line may change under one that joins it.
const TRIES: u32 = 1000;
/// The digits of a ticket's number.
const DIGITS: usize = 20;

/// The line for one lock. It need not be there.
#[derive(Clone, Debug)]
pub(super) struct Line(PathBuf);

/// A place in the line. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Ticket {
    line: Line,
    number: u64,
    file: LockFile,
}

/// Who is in front.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The ticket right in front, of a process that lives.
    pub(super) nearest: PathBuf,
    /// How many tickets there are in front, some of which may be of dead processes.
    pub(super) count: u32,
}

impl Line {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Whether there may be somebody in it.
    pub(super) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok()
    }

    /// Takes the last place.
    pub(super) fn join(&self, holder: &Holder) -> Result<Ticket, Error> {
        for _ in 0..TRIES {
            match DirBuilder::new().mode(0o700).create(&self.0) {
                Err(error) if error.kind() != Io::AlreadyExists => {
                    return Err(refused("make the directory", &self.0, error));
                }
                _ => {}
            }
            let number = self.numbers()?.last().map_or(1, |last| last.saturating_add(1));
            // Another one may have taken it, or the last one before may have gone, and the directory with it.
            let Some(file) = LockFile::create_new(self.path_of(number))? else { continue };
            if file.try_lock()? && file.is_in_place()? {
                // For others to read. Without room for it the place is as good.
                let _ = file.write_text(&holder.to_json());
                return Ok(Ticket { line: self.clone(), number, file });
            }
        }
        Err(Error::unavailable("the line of those who wait for the lock changes too fast"))
    }

    /// The records of those who wait, in order.
    pub(super) fn waiters(&self) -> Result<Vec<Holder>, Error> {
        let mut waiters = Vec::new();
        for number in self.numbers()? {
            if let Some(file) = LockFile::open(self.path_of(number), Rights::Read)?
                && file.is_locked()?
            {
                waiters.push(Holder::from_json(&file.read_text()?));
            }
        }
        Ok(waiters)
    }

    /// The first who waits, after those whose processes have ended were removed.
    pub(super) fn first(&self) -> Result<Option<Holder>, Error> {
        for number in self.numbers()? {
            if self.is_alive(number)?
                && let Some(file) = LockFile::open(self.path_of(number), Rights::Read)?
            {
                return file.read_text().map(|text| Some(Holder::from_json(&text)));
            }
        }
        self.remove_if_empty();
        Ok(None)
    }

    /// Whether the one with this ticket waits. Removes what a killed process has left.
    fn is_alive(&self, number: u64) -> Result<bool, Error> {
        let Some(file) = LockFile::open(self.path_of(number), Rights::Read)? else { return Ok(false) };
        if !file.try_lock()? {
            return Ok(true);
        }
        let removed = if file.is_in_place()? { file.remove() } else { Ok(()) };
        file.unlock();
        removed.map(|()| false)
    }

    /// The numbers of the tickets, in order.
    fn numbers(&self) -> Result<Vec<u64>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| refused("list", &self.0, error))?,
        };
        let number = |name: &str| (name.len() == DIGITS).then(|| name.parse().ok()).flatten();
        let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
        let mut numbers: Vec<u64> = names.filter_map(|name| name.to_str().and_then(number)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:0DIGITS$}"))
    }

    /// Nobody removes a directory in which somebody is.
    fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

impl Ticket {
    /// Whether it still counts: it was not taken away while its process did nothing.
    pub(super) fn is_valid(&self) -> Result<bool, Error> {
        self.file.is_in_place()
    }

    /// Whether this process has it from the one that forked it.
    pub(super) fn is_inherited(&self) -> bool {
        self.file.is_inherited()
    }

    /// Takes its place from the first one in front, whose process does nothing though it is its turn.
    pub(super) fn pass_over_first(&self) -> Result<(), Error> {
        match self.line.numbers()?.first() {
            Some(first) if *first < self.number => remove(&self.line.path_of(*first)),
            _ => Ok(()),
        }
    }

    /// Who is in front; `None` if it is this one's turn.
    pub(super) fn ahead(&self) -> Result<Option<Ahead>, Error> {
        let mut ahead: Vec<u64> = self.line.numbers()?.into_iter().filter(|number| *number < self.number).collect();
        while let Some(number) = ahead.pop() {
            if self.line.is_alive(number)? {
                let count = u32::try_from(ahead.len() + 1).unwrap_or(u32::MAX);
                return Ok(Some(Ahead { nearest: self.line.path_of(number), count }));
            }
        }
        Ok(None)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A forked child must not take its parent's place away.
        if self.file.is_inherited() {
            return;
        }
        // One that was passed over is there no more, or its number is another's.
        if self.file.is_in_place().is_ok_and(|is_in_place| is_in_place) {
            let _ = self.file.remove();
        }
        self.file.unlock();
        self.line.remove_if_empty();
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != Io::NotFound => Err(refused("remove", path, error)),
        _ => Ok(()),
    }
}
