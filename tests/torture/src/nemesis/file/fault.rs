//! The faults of a directory of lock files.

use std::time::Duration;

use crate::random::Random;

/// What somebody else does to the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Others may write in it.
    Rights(Right),
    /// Its file system is full, where the machine lets the torture mount one.
    Full,
    /// All files in it are deleted.
    DeleteFiles,
    /// It is replaced by an empty one.
    Replace,
    /// A shell script holds the lock with this number, by flock(1).
    Hold(usize),
}

/// Why the directory cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everybody may write in it.
    Mode,
    /// It belongs to somebody else, if the torture may give it away.
    Owner,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let right = *random.one_of(&[Right::Mode, Right::Owner]);
        let lock = usize::try_from(random.between(0, 8)).unwrap_or(0);
        vec![Self::Rights(right), Self::Full, Self::DeleteFiles, Self::Replace, Self::Hold(lock)]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::DeleteFiles | Self::Replace => Duration::from_millis(1),
            _ => random.millis(1_000, 6_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::Rights(_) => "rights revoked",
            Self::Full => "full disk",
            Self::DeleteFiles => "files deleted",
            Self::Replace => "directory replaced",
            Self::Hold(_) => "lock held by a script",
        }
    }
}
