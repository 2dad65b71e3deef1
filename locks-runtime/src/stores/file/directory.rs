//! The directory of lock files: names, access, and what its errors mean.

use super::error::refused;
use super::file_system;
use super::lock_file::{LockFile, Rights};
use super::trust::{self, Missing};
use crate::values::error::Error;
use crate::values::key::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fs;
use std::path::PathBuf;

/// What of a key is not itself in a file's name. Beyond ASCII everything is encoded too: some file systems take
/// two spellings of one letter for the same name.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
const SUFFIX: &str = ".lock";
/// What file systems allow, in bytes.
const LONGEST_NAME: usize = 255;

/// The file with the last fence. Its name, as the next one, is no lock's.
const COUNTER: &str = "fences";
/// The file by which processes take turns at removing idle files.
const CLEAN_UP: &str = "clean-up";

/// One directory; it need not exist yet.
///
/// Whether it is this user's alone is looked at before each access: somebody may have removed it, and somebody else may
/// have made another one in its place.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the directory, unless it is there; returns whether it was.
    ///
    /// # Errors
    ///
    /// `Unauthorized` if others own or may replace it, `Unsupported` where it is not known to be this machine's alone, and
    /// as [`refused`] says.
    pub(super) fn create(&self) -> Result<bool, Error> {
        let was_there = self.is_there()?;
        trust::walk(&self.0, Missing::Make)?;
        file_system::check(&self.0)?;
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

    /// The file with the last fence.
    pub(super) fn counter(&self) -> Result<LockFile, Error> {
        self.prepare()?;
        LockFile::create(self.0.join(COUNTER))
    }

    /// The file that is locked while idle files are removed; none if there is no directory.
    pub(super) fn clean_up_turn(&self) -> Result<Option<LockFile>, Error> {
        if self.is_there()? { LockFile::create(self.0.join(CLEAN_UP)).map(Some) } else { Ok(None) }
    }

    /// The keys whose locks have a file here, in no order.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub(super) fn keys(&self) -> Result<impl Iterator<Item = Result<Key, Error>> + use<>, Error> {
        let entries = match self.is_there()? {
            true => Some(fs::read_dir(&self.0).map_err(|error| refused("list", &self.0, error))?),
            false => None,
        };
        let path = self.0.clone();
        let keys = entries.into_iter().flatten().filter_map(move |entry| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(key_of).map(Ok),
            Err(error) => Some(Err(refused("list", &path, error))),
        });
        Ok(keys)
    }

    fn is_there(&self) -> Result<bool, Error> {
        trust::walk(&self.0, Missing::Leave)
    }

    fn prepare(&self) -> Result<(), Error> {
        if self.is_there()? { Ok(()) } else { self.create().map(drop) }
    }

    fn path_of(&self, key: &Key) -> Result<PathBuf, Error> {
        let name = name_of(key);
        if name.len() > LONGEST_NAME {
            let why = format!(
                "the key makes a file name of {} bytes and at most {LONGEST_NAME} are allowed; hash the long part, \
                 or use another store",
                name.len()
            );
            return Err(Error::invalid_key(key.as_str(), why));
        }
        Ok(self.0.join(name))
    }
}

fn name_of(key: &Key) -> String {
    format!("{}{SUFFIX}", utf8_percent_encode(key.as_str(), ENCODED))
}

/// The key of a file's name, if it is one that this store would have given.
fn key_of(name: &str) -> Option<Key> {
    let decoded = percent_decode_str(name.strip_suffix(SUFFIX)?).decode_utf8().ok()?;
    Key::new(decoded).ok().filter(|key| name_of(key) == name)
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
            prop_assert_eq!(key_of(&name), Some(key));
        }

        #[test]
        fn any_name_is_read_without_a_panic(name in "\\PC{0,20}(\\.lock)?") {
            let _ = key_of(&name);
        }
    }

    #[test]
    fn other_programs_files_are_no_locks_of_ours() {
        for name in ["a", ".lock", "a b.lock", "%2f.lock", "%FF.lock", "%00.lock", "é.lock"] {
            assert_eq!(key_of(name), None, "{name}");
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
