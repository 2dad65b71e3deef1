//! The faults of a MariaDB server.

use std::time::Duration;

use crate::random::Random;

/// A fault of the server, or of somebody else who uses the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and a restart with the data.
    Kill,
    /// An orderly stop, and a restart.
    Restart,
    /// SIGSTOP, SIGCONT.
    Pause,
    /// SIGSTOP and SIGCONT, again and again: it answers after this long.
    Slow(Duration),
    /// Transactions are serializable unless they say otherwise.
    Serializable,
    /// It takes no writes.
    ReadOnly,
    /// Somebody's transaction stays open on the row of a lock: of the first for which there is one from this number on.
    LockRow(u32),
    /// Somebody has locked the table.
    LockTable,
    /// The table gets columns and loses them, and is made anew.
    AlterTable,
    /// There is no room for another row.
    DiskFull,
    /// The workers' user loses some of its rights.
    Rights(Right),
    /// The connections of all workers are ended, again and again.
    Terminate,
    /// All rows are deleted, or the whole table.
    Forget(Forget),
}

/// What a user may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To do anything but read.
    Write,
    /// To log in; its connections are ended.
    LogIn,
}

/// How the rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as SQL names them")]
pub enum Forget {
    Delete,
    Truncate,
    Drop,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let right = *random.one_of(&[Right::Write, Right::LogIn]);
        let forget = *random.one_of(&[Forget::Delete, Forget::Truncate, Forget::Drop]);
        let row = u32::try_from(random.between(0, 8)).unwrap_or(0);
        vec![
            Self::Kill,
            Self::Restart,
            Self::Pause,
            Self::Slow(random.millis(50, 300)),
            Self::Serializable,
            Self::ReadOnly,
            Self::LockRow(row),
            Self::LockTable,
            Self::AlterTable,
            Self::DiskFull,
            Self::Rights(right),
            Self::Terminate,
            Self::Forget(forget),
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::Forget(_) => Duration::from_millis(1),
            Self::Restart => random.millis(0, 1_000),
            Self::Terminate => random.millis(1_000, 3_000),
            Self::Slow(_) | Self::AlterTable => random.millis(1_000, 4_000),
            _ => random.millis(1_000, 6_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "server killed",
            Self::Restart => "server restarted",
            Self::Pause => "server paused",
            Self::Slow(_) => "slow server",
            Self::Serializable => "stricter isolation",
            Self::ReadOnly => "read-only server",
            Self::LockRow(_) => "row locked",
            Self::LockTable => "table locked",
            Self::AlterTable => "table altered",
            Self::DiskFull => "full disk",
            Self::Rights(_) => "rights revoked",
            Self::Terminate => "connections closed",
            Self::Forget(_) => "rows deleted",
        }
    }
}
