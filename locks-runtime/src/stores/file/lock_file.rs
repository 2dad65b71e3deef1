//! One open lock file: the kernel's lock on it, and what is written in it.
//!
//! All of this is system calls of microseconds on a local file: they run where they are called, on the background
//! thread too. Nothing is flushed to the disk.

use super::error::refused;
use super::record::{EXTENSION_AT, HOLDER_AT, Record, extension_line};
use super::timeline::Extension;
use crate::values::error::Error;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process;

/// How much of a file is read: more than any record.
const LONGEST: usize = 64 * 1024;

/// A lock file that this process opened. Dropping it closes it.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// The process that opened it, which a forked child is not.
    process: u32,
}

impl LockFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path, process: process::id() }
    }

    /// Whether this process has the file from the one that forked it. The lock is then the parent's.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    /// Locks the file, unless another process has.
    pub(super) fn try_lock(&self) -> Result<bool, Error> {
        self.was_locked(self.file.try_lock())
    }

    /// Whether the lock is held, found out by sharing it for a moment: a process that tries in that moment is refused.
    pub(super) fn is_locked(&self) -> Result<bool, Error> {
        let free = self.was_locked(self.file.try_lock_shared())?;
        self.unlock();
        Ok(!free)
    }

    fn was_locked(&self, tried: Result<(), TryLockError>) -> Result<bool, Error> {
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(refused("lock", &self.path, error)),
        }
    }

    /// Releases the kernel's lock.
    ///
    /// Closing the file is not enough: a child of a fork shares the lock for as long as it has the file open, be it
    /// only for the moment before it executes another program. But the child must not release its parent's lock.
    pub(super) fn unlock(&self) {
        if !self.is_inherited() {
            // It cannot fail on a lock that was taken, and closing follows.
            let _ = self.file.unlock();
        }
    }

    /// Whether the name still leads to this file.
    ///
    /// If it was deleted, or another was put in its place, a lock on it excludes no one.
    pub(super) fn is_in_place(&self) -> Result<bool, Error> {
        let identity = |file: &fs::Metadata| (file.dev(), file.ino());
        let found = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found.map_err(|error| refused("look at", &self.path, error))?,
        };
        let ours = self.file.metadata().map_err(|error| refused("look at", &self.path, error))?;
        Ok(identity(&found) == identity(&ours))
    }

    /// The file's content, and its length in bytes.
    pub(super) fn read(&self) -> Result<(Record, usize), Error> {
        let mut bytes = vec![0; 1024];
        let mut length = 0;
        loop {
            let offset = u64::try_from(length).unwrap_or(u64::MAX);
            match self.file.read_at(&mut bytes[length..], offset) {
                Ok(0) => return Ok((Record::parse(&bytes[..length]), length)),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refused("read", &self.path, error)),
            }
            if length == bytes.len() {
                if length == LONGEST {
                    return Ok((Record::parse(&bytes), length));
                }
                bytes.resize(LONGEST, 0);
            }
        }
    }

    /// Writes a new hold over what was there, which took `former` bytes.
    ///
    /// The fence and the `kept` line go in one write within the file's first page: a process that is killed, and a
    /// reader who does not lock, find the former line or the new one.
    pub(super) fn write(&self, record: &Record, former: usize) -> Result<(), Error> {
        let bytes = record.to_bytes();
        let written = self.file.write_all_at(&bytes, 0).and_then(|()| match bytes.len() {
            length if length < former => self.file.set_len(u64::try_from(length).unwrap_or(HOLDER_AT)),
            _ => Ok(()),
        });
        written.map_err(|error| refused("write to", &self.path, error))
    }

    /// Writes until when the lock stays taken; `None` ends that.
    pub(super) fn write_extension(&self, extension: Option<&Extension>) -> Result<(), Error> {
        let line = extension_line(extension);
        self.file.write_all_at(line.as_bytes(), EXTENSION_AT).map_err(|error| refused("write to", &self.path, error))
    }

    /// Removes the holder's record.
    pub(super) fn clear_holder(&self) -> Result<(), Error> {
        self.file.set_len(HOLDER_AT).map_err(|error| refused("write to", &self.path, error))
    }
}
