//! Files of locks that were just released, kept open for a moment: who locks the same key again needs not open it, and writes
//! over the former record instead of taking new room on the disk. The kernel's lock on them is released.

use super::lock_file::LockFile;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many files one client keeps.
const MOST: usize = 64;
/// For how long a file is used at the most, since a child of a fork has it open, too.
const REUSED: Duration = Duration::from_secs(1);

/// The files that one client keeps.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<Key, Kept>,
    /// Whether a background task empties them.
    is_emptied: bool,
}

/// One of the files.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) lock: LockFile,
    pub(super) opened: Moment,
    pub(super) released: Moment,
}

impl Parked {
    /// The file of this lock, with when it was opened, if one is kept.
    pub(super) fn take(&self, key: &Key, now: Moment) -> Option<(LockFile, Moment)> {
        let Kept { lock, opened, .. } = self.0.lock().files.remove(key)?;
        (now.since(opened) < REUSED && !lock.is_inherited()).then_some((lock, opened))
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.0.lock().files.len() < MOST
    }

    /// Keeps a file; returns whether no task empties what is kept.
    pub(super) fn put(&self, key: &Key, kept: Kept) -> bool {
        let mut state = self.0.lock();
        state.files.insert(key.clone(), kept);
        !std::mem::replace(&mut state.is_emptied, true)
    }

    /// Those that are due.
    pub(super) fn take_if(&self, is_due: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let mut state = self.0.lock();
        let (due, kept) = std::mem::take(&mut state.files).into_iter().partition(|(_, kept)| is_due(kept));
        state.files = kept;
        BTreeMap::into_values(due).collect()
    }

    /// Whether nothing is left to be emptied.
    pub(super) fn is_done(&self) -> bool {
        let mut state = self.0.lock();
        state.is_emptied = !state.files.is_empty();
        !state.is_emptied
    }
}
