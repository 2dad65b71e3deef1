//! The directory of lock files: names, access, and what its errors mean.

use super::error::refused;
use super::lock_file::LockFile;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What of a key is not itself in a file's name. Beyond ASCII everything is encoded too: some file systems take
/// two spellings of one letter for the same name.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
const SUFFIX: &str = ".lock";
/// What file systems allow, in bytes.
const LONGEST_NAME: usize = 255;

/// File systems whose locks reach across machines, or do not reach as far as they should.
const NETWORK: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "afs", "ceph", "lustre", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"];

/// One directory; it need not exist yet.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the directory, unless it is there.
    ///
    /// # Errors
    ///
    /// `Unsupported` on a network file system, and as [`refused`] says.
    pub(super) fn create(&self) -> Result<(), Error> {
        let path = &self.0;
        fs::create_dir_all(path).map_err(|error| refused("make the directory", path, error))?;
        let device = fs::metadata(path).map_err(|error| refused("look at", path, error))?.dev();
        // Only Linux has the list; elsewhere a network file system goes unnoticed.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        match file_system(&mounts, device) {
            Some(kind) if NETWORK.contains(&kind) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}` is on a network file system ({kind}), and the file store is for the processes of one machine; \
                     choose a local directory, or a store for many machines such as `etcd://`",
                    path.display()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Opens a lock's file for locking; makes it, and the directory, if need be.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name, and as [`refused`] says.
    pub(super) fn open(&self, key: &Key) -> Result<LockFile, Error> {
        let path = self.path_of(key)?;
        let open = |create| OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path);
        // First without creating: in a sticky directory the kernel refuses O_CREAT on somebody else's file
        // (fs.protected_regular), though it may be opened.
        let mut opened = open(false);
        if missing(&opened) {
            opened = open(true);
        }
        if missing(&opened) {
            self.create()?;
            opened = open(true);
        }
        match opened {
            Ok(file) => Ok(LockFile::new(file, path)),
            Err(error) => Err(refused("open", &path, error)),
        }
    }

    /// Opens a lock's file, if there is one, to read it; or to write too.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn existing(&self, key: &Key, write: bool) -> Result<Option<LockFile>, Error> {
        let path = self.path_of(key)?;
        match OpenOptions::new().read(true).write(write).open(&path) {
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(refused("open", &path, error)),
            Ok(file) => Ok(Some(LockFile::new(file, path))),
        }
    }

    /// The keys that ever had a lock here, in no order.
    ///
    /// # Errors
    ///
    /// As [`refused`] says.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| refused("list", &self.0, error))?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| refused("list", &self.0, error))?;
            keys.extend(entry.file_name().to_str().and_then(key_of));
        }
        Ok(keys)
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

fn missing<T>(opened: &io::Result<T>) -> bool {
    opened.as_ref().is_err_and(|error| error.kind() == Io::NotFound)
}

fn name_of(key: &Key) -> String {
    format!("{}{SUFFIX}", utf8_percent_encode(key.as_str(), ENCODED))
}

/// The key of a file's name, if it is one that this store would have given.
fn key_of(name: &str) -> Option<Key> {
    let decoded = percent_decode_str(name.strip_suffix(SUFFIX)?).decode_utf8().ok()?;
    Key::new(decoded).ok().filter(|key| name_of(key) == name)
}

/// The file system of a device, from Linux' list of mounts.
fn file_system(mounts: &str, device: u64) -> Option<&str> {
    let major = (device >> 32 & 0xffff_f000) | (device >> 8 & 0xfff);
    let minor = (device >> 12 & 0xffff_ff00) | (device & 0xff);
    let device = format!("{major}:{minor}");
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn the_file_system_is_found_by_its_device() {
        let mounts = "21 1 254:0 / / rw - ext4 /dev/vda rw\n36 21 0:53 / /srv rw,x master:1 - nfs4 host:/srv rw\n";
        assert_eq!(file_system(mounts, 53), Some("nfs4"));
        assert_eq!(file_system(mounts, 254 << 8), Some("ext4"));
        assert_eq!(file_system(mounts, 1), None);
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
