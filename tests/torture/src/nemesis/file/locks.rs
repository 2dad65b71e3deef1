//! Who holds which file, by the kernel's own table.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// The process that has locked each of the directory's files, as flock(2) does; `None` if the system does not show it.
pub(super) fn holders(directory: &Path) -> Option<BTreeMap<String, (u32, u64)>> {
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    let locked: BTreeMap<String, u32> = table.lines().filter_map(lock).collect();
    let files = std::fs::read_dir(directory).ok()?.flatten();
    let held = files.filter_map(|file| {
        let metadata = file.metadata().ok()?;
        let device = metadata.dev();
        let id = format!("{:02x}:{:02x}:{}", major(device), minor(device), metadata.ino());
        Some((file.file_name().into_string().ok()?, (*locked.get(&id)?, metadata.ino())))
    });
    Some(held.collect())
}

/// The file and the process of a line such as `1: FLOCK  ADVISORY  WRITE 7322 fe:00:5309104 0 EOF`. Those who wait for a lock
/// have an arrow before the kind.
fn lock(line: &str) -> Option<(String, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, process, file, ..] = words.as_slice() else { return None };
    Some(((*file).to_owned(), process.parse().ok()?))
}
