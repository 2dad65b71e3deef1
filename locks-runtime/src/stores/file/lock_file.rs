//! One open lock file: the kernel's lock on it, and what is written in it.
//!
//! All of this is system calls of microseconds on a local file: they run where they are called, on the background
//! thread too. Nothing is flushed to the disk.

use super::error::refused;
use super::record::{EXTENSION_AT, HEAD, HOLDER_AT, Record, extension_line, shared_head};
use super::timeline::Extension;
use super::trust;
use crate::values::error::{Error, ErrorKind};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

/// How much of a file is read: more than any record.
const LONGEST: usize = 64 * 1024;
const LONGEST_TEXT: u64 = 64 * 1024;

/// What a released holder's line begins with: no record does.
const NOBODY: &[u8] = b"-";

/// The mode of a lock's file.
const OWN: u32 = 0o600;

/// A lock file that this process opened. Dropping it closes it.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// Which file it is, whatever its name leads to.
    identity: Identity,
    /// The process that opened it, which a forked child is not.
    process: u32,
}

/// The number of a file's device, and its own.
type Identity = (u64, u64);

/// What is at a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InPlace {
    /// In bytes.
    pub(super) length: u64,
    /// When the file was last changed, by the system's clock: in nanoseconds, as far as the file system has them.
    pub(super) changed: i128,
}

/// Whose locks are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    All,
    /// Those of who has the file alone.
    Alone,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    Read,
    Write,
}

impl LockFile {
    /// Opens the file at `path`, and makes it if need be, for its owner alone.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub(super) fn create(path: PathBuf) -> Result<Self, Error> {
        let opened = options(Rights::Write).create(true).truncate(false).mode(OWN).open(&path);
        opened.map_err(|error| not_opened(&path, error)).and_then(|file| Self::of(file, path))
    }

    /// Makes the file at `path`, for its owner alone; `None` if there is one, or no directory for it.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub(super) fn create_new(path: PathBuf) -> Result<Option<Self>, Error> {
        match options(Rights::Write).create_new(true).mode(OWN).open(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(not_opened(&path, error)),
            Ok(file) => Self::of(file, path).map(Some),
        }
    }

    /// Opens the file at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is no plain file, `Unauthorized` if it is another user's, and as [`refused`] says.
    pub(super) fn open(path: PathBuf, rights: Rights) -> Result<Option<Self>, Error> {
        match options(rights).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_opened(&path, error)),
            Ok(file) => Self::of(file, path).map(Some),
        }
    }

    /// Whoever may open the file may lock it, and nobody could take that from them: it must be its owner's alone.
    fn of(file: File, path: PathBuf) -> Result<Self, Error> {
        let found = file.metadata().map_err(|error| refused("look at", &path, error))?;
        if !found.is_file() {
            return Err(no_lock_file(&path, kind_of(&found)));
        }
        if found.uid() != trust::user() {
            let message = format!(
                "`{}` belongs to user {}, and this program runs as user {}: who owns a lock's file can block the lock and \
                 forge its holder; remove the file",
                path.display(),
                found.uid(),
                trust::user(),
            );
            return Err(Error::new(ErrorKind::Unauthorized, message));
        }
        if found.mode() & !OWN & 0o777 != 0 {
            let closed = file.set_permissions(Permissions::from_mode(OWN));
            closed.map_err(|error| refused("take the rights of others from", &path, error))?;
        }
        Ok(Self { identity: identity(&found), file, path, process: process::id() })
    }

    /// Whether this process has the file from the one that forked it. The lock is then the parent's.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    /// Locks the file, unless another process has.
    pub(super) fn try_lock(&self) -> Result<bool, Error> {
        self.was_locked(self.file.try_lock())
    }

    /// Another descriptor of the same open file, which keeps the kernel's lock as this one does.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Error> {
        self.file
            .try_clone()
            .map(OwnedFd::from)
            .map_err(|error| refused("duplicate the descriptor of", &self.path, error))
    }

    /// Shares the lock, unless another process has it alone.
    pub(super) fn try_share(&self) -> Result<bool, Error> {
        self.was_locked(self.file.try_lock_shared())
    }

    /// Whether one has the lock alone, found out by sharing it for a moment: one that tries so in that moment is refused.
    pub(super) fn is_locked(&self) -> Result<bool, Error> {
        let free = self.try_share()?;
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
        self.in_place().map(|found| found.is_some())
    }

    /// What the name leads to, if that is still this file.
    pub(super) fn in_place(&self) -> Result<Option<InPlace>, Error> {
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|error| refused("look at", &self.path, error))?,
        };
        let changed = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
        Ok((identity(&found) == self.identity).then_some(InPlace { length: found.len(), changed }))
    }

    /// Waits until nobody has it locked, or nobody has it alone, on this thread. It may return sooner, and others may be faster
    /// to lock it then.
    pub(super) fn wait_until_free(&self, of: Others) {
        // For a writer not shared: a program that shares the lock for long would keep whoever waits busy.
        let locked = match of {
            Others::All => self.file.lock(),
            Others::Alone => self.file.lock_shared(),
        };
        if locked.is_ok() {
            self.unlock();
        }
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

    /// The file's content but for the holder.
    pub(super) fn read_head(&self) -> Result<Record, Error> {
        let mut bytes = [0; HEAD];
        let mut length = 0;
        while length < HEAD {
            let offset = u64::try_from(length).unwrap_or(u64::MAX);
            match self.file.read_at(&mut bytes[length..], offset) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refused("read", &self.path, error)),
            }
        }
        Ok(Record::parse(&bytes[..length]))
    }

    /// Writes over a holder that it holds no more. The rest stays, and with it the room that the next record takes.
    pub(super) fn unname(&self) -> Result<(), Error> {
        self.file.write_all_at(NOBODY, HOLDER_AT).map_err(|error| refused("write to", &self.path, error))
    }

    /// Writes a text to its beginning, so that it is a file that was written now.
    pub(super) fn write_text(&self, text: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(text, 0).map_err(|error| refused("write to", &self.path, error))
    }

    /// What was written is on the disk.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| refused("flush", &self.path, error))
    }

    /// What was written as a text.
    pub(super) fn read_text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        let read = (&self.file).take(LONGEST_TEXT).read_to_end(&mut text);
        read.map(|_| text).map_err(|error| refused("read", &self.path, error))
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

    /// Writes that readers or permits hold the lock. It is the same for each of them, and so they need not exclude each other.
    pub(super) fn write_shared(&self) -> Result<(), Error> {
        self.file.write_all_at(shared_head().as_bytes(), 0).map_err(|error| refused("write to", &self.path, error))
    }

    /// Writes until when the lock stays taken; `None` ends that.
    pub(super) fn write_extension(&self, extension: Option<&Extension>) -> Result<(), Error> {
        let line = extension_line(extension);
        self.file.write_all_at(line.as_bytes(), EXTENSION_AT).map_err(|error| refused("write to", &self.path, error))
    }

    /// Leaves nothing in the file, which then takes no room on the disk.
    pub(super) fn clear(&self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|error| refused("write to", &self.path, error))
    }

    /// Removes the file, if it is there: whose ticket it is may do so at the same moment. Its lock must be held: who opened the file
    /// meanwhile sees then that it is gone.
    pub(super) fn remove(&self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused("remove", &self.path, error)),
            _ => Ok(()),
        }
    }

    /// How long ago the file was written, by the wall clock.
    pub(super) fn idle_for(&self, wall_ms: u64) -> Result<Duration, Error> {
        let found = self.file.metadata().map_err(|error| refused("look at", &self.path, error))?;
        let written = u64::try_from(found.mtime()).unwrap_or(0).saturating_mul(1000);
        Ok(Duration::from_millis(wall_ms.saturating_sub(written)))
    }

    /// When the file was written, in milliseconds since 1970.
    pub(super) fn written_ms(&self) -> Option<u64> {
        let found = self.file.metadata().ok()?;
        let (seconds, nanoseconds) = (u64::try_from(found.mtime()).ok()?, u64::try_from(found.mtime_nsec()).ok()?);
        Some(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
    }

    /// How many bytes the file has.
    pub(super) fn length(&self) -> Result<u64, Error> {
        self.file.metadata().map(|found| found.len()).map_err(|error| refused("look at", &self.path, error))
    }

    /// Its name, with the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// Links are not followed, and nothing is waited for: what is in the place of the file may be anything.
fn options(rights: Rights) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(rights == Rights::Write);
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn not_opened(path: &Path, error: io::Error) -> Error {
    let found = match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => Some("a symbolic link"),
        // A socket cannot be opened at all.
        Some(Errno::NXIO | Errno::OPNOTSUPP) => fs::symlink_metadata(path).ok().map(|found| kind_of(&found)),
        _ => None,
    };
    found.map_or_else(|| refused("open", path, error), |kind| no_lock_file(path, kind))
}

fn no_lock_file(path: &Path, kind: &str) -> Error {
    let message = format!("`{}` is {kind} where a lock's file should be; remove it", path.display());
    Error::new(ErrorKind::Unsupported, message)
}

fn kind_of(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a device"
    }
}
