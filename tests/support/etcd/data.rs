//! A server's data: lost, kept, and put back.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Etcd;

/// A copy of a server's data.
#[derive(Debug)]
pub struct Saved(TempDir);

impl Etcd {
    /// Kills the server and starts it without its data, as a machine does whose disk was replaced.
    pub fn wipe(&self) {
        self.kill();
        fs::remove_dir_all(self.data()).unwrap();
        self.restart();
    }

    /// Restarts the server, and copies its data meanwhile.
    pub fn save(&self) -> Saved {
        self.kill();
        let saved = Saved(tempfile::tempdir().unwrap());
        copy(&self.data(), saved.0.path());
        self.restart();
        saved
    }

    /// Kills the server and starts it with the data of an earlier moment, as who restores a snapshot does.
    pub fn restore(&self, saved: &Saved) {
        self.kill();
        fs::remove_dir_all(self.data()).unwrap();
        copy(saved.0.path(), &self.data());
        self.restart();
    }

    pub(super) fn data(&self) -> PathBuf {
        self.log().with_file_name("data")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // etcd refuses a directory that others may read.
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}
