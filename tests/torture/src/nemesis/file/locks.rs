//! Who holds which file, by the kernel's own table.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// A file that is locked.
pub(super) struct Locked {
    /// The processes that have locked it: several, if they share it.
    pub(super) processes: Vec<u32>,
    pub(super) inode: u64,
}

/// Each of the directory's files that is locked, as flock(2) does; `None` if the system does not show it.
pub(super) fn locked(directory: &Path) -> Option<BTreeMap<String, Locked>> {
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    let mut processes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (file, process) in table.lines().filter_map(lock) {
        processes.entry(file).or_default().push(process);
    }
    let files = std::fs::read_dir(directory).ok()?.flatten();
    let locked = files.filter_map(|file| {
        let metadata = file.metadata().ok()?;
        let device = metadata.dev();
        let id = format!("{:02x}:{:02x}:{}", major(device), minor(device), metadata.ino());
        let processes = processes.get(&id)?.clone();
        Some((file.file_name().into_string().ok()?, Locked { processes, inode: metadata.ino() }))
    });
    Some(locked.collect())
}

/// The file and the process of a line such as `1: FLOCK  ADVISORY  WRITE 7322 fe:00:5309104 0 EOF`. Those who wait for a lock
/// have an arrow before the kind.
fn lock(line: &str) -> Option<(String, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, process, file, ..] = words.as_slice() else { return None };
    Some(((*file).to_owned(), process.parse().ok()?))
}
