//! The directory of lock files: names, access, and what its errors mean.

use super::error::refused;
use super::file_system;
use super::lock_file::{LockFile, Rights};
use super::trust::{self, Missing, Trusted};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

/// What of a key is not itself in a file's name. Beyond ASCII everything is encoded too: some file systems take
/// two spellings of one letter for the same name.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
const SUFFIX: &str = ".lock";
/// The directory of those who wait for a lock; as long as [`SUFFIX`].
const LINE: &str = ".line";
/// What file systems allow, in bytes.
const LONGEST_NAME: usize = 255;

/// The file with the last fence. Its name, as the next one, is no lock's.
const COUNTER: &str = "fences";
/// The file by which processes take turns at removing idle files.
const CLEAN_UP: &str = "clean-up";
/// The file by which those who want several locks at one moment join the lines one after another.
const SEVERAL: &str = "several";

/// One directory; it need not exist yet.
///
/// Whether it is this user's alone is looked at before each access: somebody may have removed it, and somebody else may
/// have made another one in its place.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// What was there when the whole way to it was looked at.
    trusted: Mutex<Option<Trusted>>,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, trusted: Mutex::default() }
    }

    /// Makes the directory, unless it is there; returns whether it was.
    ///
    /// # Errors
    ///
    /// `Unauthorized` if others own or may replace it, `Unsupported` where it is not known to be this machine's alone, and
    /// as [`refused`] says.
    pub(super) fn create(&self) -> Result<bool, Error> {
        let was_there = self.is_there()?;
        let made = trust::walk(&self.path, Missing::Make)?;
        file_system::check(&self.path)?;
        *self.trusted.lock() = made;
        Ok(was_there)
    }

    /// Opens a lock's file for locking; makes it, and the directory, if need be.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name, and those of [`create`](Self::create).
    pub(super) fn open(&self, key: &Key) -> Result<LockFile, Error> {
        let path = self.path_of(key)?;
        self.prepare()?;
        LockFile::create(path)
    }

    /// Opens a lock's file, if there is one, to read it; or to write too.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn existing(&self, key: &Key, write: bool) -> Result<Option<LockFile>, Error> {
        let path = self.path_of(key)?;
        if !self.is_there()? {
            return Ok(None);
        }
        LockFile::open(path, if write { Rights::Write } else { Rights::Read })
    }

    /// The file that is locked while one joins the lines of several locks.
    pub(super) fn several_turn(&self) -> Result<LockFile, Error> {
        self.prepare()?;
        LockFile::create(self.path.join(SEVERAL))
    }

    /// Where those stand who wait for the lock, or hold it beside others: a directory that is there while somebody does.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name.
    pub(super) fn line(&self, key: &Key) -> Result<PathBuf, Error> {
        self.path_of(key).map(|path| line_of(&path))
    }

    /// The keys whose locks somebody may wait for.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub(super) fn keys_of_lines(&self) -> Result<Vec<Key>, Error> {
        let key = |name: Result<OsString, Error>| {
            name.map(|name| name.to_str().and_then(|name| key_of(name, LINE))).transpose()
        };
        self.names()?.filter_map(key).collect()
    }

    /// The file with the last fence.
    pub(super) fn counter(&self) -> Result<LockFile, Error> {
        self.prepare()?;
        LockFile::create(self.path.join(COUNTER))
    }

    /// The file that is locked while idle files are removed; none if there is no directory.
    pub(super) fn clean_up_turn(&self) -> Result<Option<LockFile>, Error> {
        if self.is_there()? { LockFile::create(self.path.join(CLEAN_UP)).map(Some) } else { Ok(None) }
    }

    /// The keys whose locks have a file here, in no order.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub(super) fn keys(&self) -> Result<impl Iterator<Item = Result<Key, Error>> + use<>, Error> {
        let keys = self.names()?.filter_map(|name| match name {
            Ok(name) => name.to_str().and_then(|name| key_of(name, SUFFIX)).map(Ok),
            Err(error) => Some(Err(error)),
        });
        Ok(keys)
    }

    fn names(&self) -> Result<impl Iterator<Item = Result<OsString, Error>> + use<>, Error> {
        let entries = match self.is_there()? {
            true => Some(fs::read_dir(&self.path).map_err(|error| refused("list", &self.path, error))?),
            false => None,
        };
        let path = self.path.clone();
        let name = move |entry: io::Result<DirEntry>| {
            entry.map(|entry| entry.file_name()).map_err(|error| refused("list", &path, error))
        };
        Ok(entries.into_iter().flatten().map(name))
    }

    /// Whether it is there. The way to it is looked at again when the path leads to anything else than it did.
    pub(super) fn is_there(&self) -> Result<bool, Error> {
        let trusted = *self.trusted.lock();
        if trusted.is_some() && trusted == Trusted::at(&self.path) {
            return Ok(true);
        }
        let found = trust::walk(&self.path, Missing::Leave)?;
        *self.trusted.lock() = found;
        Ok(found.is_some())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn prepare(&self) -> Result<(), Error> {
        if self.is_there()? { Ok(()) } else { self.create().map(drop) }
    }

    /// The lock's file.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name.
    pub(super) fn path_of(&self, key: &Key) -> Result<PathBuf, Error> {
        let name = name_of(key);
        if name.len() > LONGEST_NAME {
            let why = format!(
                "the key makes a file name of {} bytes and at most {LONGEST_NAME} are allowed; hash the long part, \
                 or use another store",
                name.len()
            );
            return Err(Error::invalid_key(key.as_str(), why));
        }
        Ok(self.path.join(name))
    }
}

/// The line's directory for a lock's file.
pub(super) fn line_of(lock: &Path) -> PathBuf {
    lock.with_extension(LINE.trim_start_matches('.'))
}

fn name_of(key: &Key) -> String {
    format!("{}{SUFFIX}", encoded_name(key))
}

fn encoded_name(key: &Key) -> String {
    utf8_percent_encode(key.as_str(), ENCODED).to_string()
}

/// The key of a file's name, if it is one that this store would have given.
fn key_of(name: &str, suffix: &str) -> Option<Key> {
    let encoded = name.strip_suffix(suffix)?;
    let key = Key::new(percent_decode_str(encoded).decode_utf8().ok()?).ok()?;
    (encoded_name(&key) == encoded).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_gives_its_key_back(key in "\\PC{1,40}") {
            let key = Key::new(key).unwrap();
            let name = name_of(&key);
            prop_assert!(!name.contains('/') && name.is_ascii());
            prop_assert_eq!(key_of(&name, SUFFIX), Some(key));
        }

        #[test]
        fn any_name_is_read_without_a_panic(name in "\\PC{0,20}(\\.lock)?") {
            let _ = key_of(&name, SUFFIX);
        }
    }

    #[test]
    fn other_programs_files_are_no_locks_of_ours() {
        for name in ["a", ".lock", "a b.lock", "%2f.lock", "%FF.lock", "%00.lock", "é.lock"] {
            assert_eq!(key_of(name, SUFFIX), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_with_its_length() {
        let directory = Directory::new("/nowhere".into());
        assert!(directory.path_of(&Key::new("k".repeat(250)).unwrap()).is_ok());
        let error = directory.path_of(&Key::new("/".repeat(84)).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
        assert!(error.to_string().contains("257 bytes"), "{error}");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_owned(), file.path().join("below")] {
            let error = Directory::new(path).create().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            assert!(error.to_string().contains("is not a directory"), "{error}");
        }
    }
}
