//! A directory of lock files, in a small file system of its own where the machine allows that.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::SmallFileSystem;
use tokio::time::{Instant, sleep};

use super::log::FaultLog;
use super::observer::Entry;
use crate::history::Scope;
use crate::workers::all_keys;

pub mod fault;
mod locks;

pub use fault::{Fault, Right};
use locks::Locked;

/// The directory, and where it is.
#[derive(Debug)]
pub struct Directory {
    /// Where there is room for the lock files, and for little else.
    around: SmallFileSystem,
    path: PathBuf,
    keys: BTreeSet<String>,
}

/// In milliseconds: who holds a file that is gone finds out by a look at the directory.
const NOTICED_WITHIN: u64 = 250;

/// A page for each of two dozen locks, and for a ticket of each of nine clients that waits for one of them; as many again in a
/// directory that replaces another.
const SIZE: u32 = 2 * 1024 * 1024;

/// What is no lock's file, and stays.
const OWN_FILES: [&str; 3] = ["fences", "clean-up", "several"];

/// How the directory ends in which a lock's waiters, readers and permits have their tickets.
const LINE: &str = ".line";

impl Directory {
    /// In a new file system, or in the temporary directory.
    #[must_use]
    pub fn create() -> Self {
        let around = SmallFileSystem::mount(SIZE);
        let path = around.path().join("locks");
        Self { around, path, keys: all_keys() }
    }

    /// The URL of the directory.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Whatever is locked.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let locked = locks::locked(&self.path)?;
        let entries = self.keys.iter().filter_map(|key| Some((key, locked.get(&file_of(key))?)));
        let entries = entries.flat_map(|(key, Locked { processes, inode })| {
            let entry =
                |pid: &u32| Entry { name: format!("{key}@{inode}:{pid}"), key: key.clone(), pid: *pid, request: None };
            processes.iter().map(entry).collect::<Vec<_>>()
        });
        Some(entries.collect())
    }

    /// Deletes the files that the process with this number has locked, and nobody else.
    pub(super) fn revoke(&self, pid: u32) {
        let locked = locks::locked(&self.path).unwrap_or_default();
        for (name, _) in locked.into_iter().filter(|(_, locked)| locked.processes.iter().all(|holder| *holder == pid)) {
            // Another process may have removed it.
            let _ = fs::remove_file(self.path.join(name));
        }
    }

    /// What is locked, and files that no lock has. The files of locks stay, each a page at the most, and the tickets of
    /// processes that were killed, until somebody asks for the lock.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let held = locks::locked(&self.path).unwrap_or_default();
        let held = held.into_keys().filter(|name| name.ends_with(".lock")).map(|name| format!("{name} is locked"));
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let others = files.filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(LINE) {
                let locked = locks::locked(&file.path()).unwrap_or_default();
                return (!locked.is_empty())
                    .then(|| format!("{} in {name}", locked.into_keys().collect::<Vec<_>>().join(", ")));
            }
            let is_known = OWN_FILES.contains(&name.as_str()) || self.keys.iter().any(|key| file_of(key) == name);
            let is_small = file.metadata().is_ok_and(|metadata| metadata.len() <= 4096);
            (!is_known || !is_small).then_some(name)
        });
        held.chain(others).collect()
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let named = super::Fault::File(fault);
        if let Fault::Hold(lock) = fault {
            return self.hold(lock, length, log).await;
        }
        let number = log.begin(named, Scope::Store);
        match fault {
            Fault::Rights(right) => {
                self.distrust(right);
                sleep(length).await;
                self.trust();
            }
            Fault::Full => {
                let filler = self.around.path().join("filler");
                // Where the file system is the machine's own, it stays as it is.
                if self.around.is_mounted() {
                    fill(&filler, length).await;
                }
                let _ = fs::remove_file(filler);
            }
            Fault::DeleteFiles => {
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                for file in fs::read_dir(&self.path).into_iter().flatten().flatten() {
                    let _ = fs::remove_file(file.path());
                }
                log.end(forgotten);
            }
            Fault::Replace => {
                let before = self.path.with_extension("before");
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                let _ = fs::rename(&self.path, &before);
                // A worker may have been faster.
                let _ = fs::DirBuilder::new().mode(0o700).create(&self.path);
                log.end(forgotten);
                let _ = fs::remove_dir_all(before);
            }
            Fault::Hold(_) => {}
        }
        log.end(number);
    }

    fn distrust(&self, right: Right) {
        // Fails for who is not root: then nothing happens.
        let _ = match right {
            Right::Mode => fs::set_permissions(&self.path, Permissions::from_mode(0o777)),
            Right::Owner => chown(&self.path, Some(65_534), None),
        };
    }

    fn trust(&self) {
        let _ = fs::set_permissions(&self.path, Permissions::from_mode(0o700));
        let _ = chown(&self.path, Some(rustix::process::geteuid().as_raw()), None);
    }

    /// Holds a lock's file as a shell script does that looks whether it is still there.
    async fn hold(&self, lock: usize, length: Duration, log: &FaultLog) {
        let Some(key) = self.keys.iter().cycle().nth(lock) else { return };
        let path = self.path.join(file_of(key));
        let number = log.begin(super::Fault::File(Fault::Hold(lock)), Scope::Lock(key.clone()));
        let until = Instant::now() + length;
        while Instant::now() < until {
            if let Ok(file) = fs::File::open(&path)
                && file.try_lock().is_ok()
            {
                sleep(until.saturating_duration_since(Instant::now())).await;
            }
            sleep(Duration::from_millis(2)).await;
        }
        log.end(number);
    }
}

/// Fills the file system for a time, whatever is freed meanwhile.
async fn fill(filler: &Path, length: Duration) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        let file = fs::OpenOptions::new().create(true).append(true).open(filler);
        // The last of them fails, for there is no room.
        let _ = file.and_then(|mut file| loop_until_full(&mut file));
        sleep(Duration::from_millis(5)).await;
    }
}

fn loop_until_full(file: &mut fs::File) -> io::Result<()> {
    loop {
        file.write_all(&[b'x'; 1024])?;
    }
}

/// As the documentation names it: the percent-encoded key.
fn file_of(key: &str) -> String {
    format!("{}.lock", key.replace('/', "%2F"))
}
