//! The faults of a PostgreSQL server.

use std::time::Duration;

use crate::random::Random;

/// A fault of the server, or of somebody else who uses the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of all its processes, and a restart with the data.
    Kill,
    /// kill -9 of one backend, whereupon the server ends all others.
    KillBackend,
    /// An orderly stop, and a restart.
    Restart,
    /// SIGSTOP, SIGCONT.
    Pause,
    /// SIGSTOP and SIGCONT, again and again: it answers after this long.
    Slow(Duration),
    /// The primary is killed, and its standby promoted.
    Promote,
    /// The same, after the standby was cut off for a while: what was granted meanwhile is forgotten.
    PromoteBehind,
    /// The same under synchronous replication: nothing is forgotten.
    PromoteSynchronous,
    /// Transactions are stricter unless they say otherwise.
    Isolation(Isolation),
    /// Transactions may not write unless they say otherwise.
    ReadOnly,
    /// There is a pooler in transaction mode before the server.
    Pooler,
    /// Somebody's transaction stays open on the row of a lock: of the first for which there is one from this number on.
    LockRow(u32),
    /// Somebody's transaction stays open that locked the table.
    LockTable,
    /// The table is vacuumed, indexed anew, and gets columns and loses them.
    AlterTable,
    /// There is no room for another page.
    DiskFull,
    /// The workers' role loses some of its rights.
    Rights(Right),
    /// The backends of all workers are ended, again and again.
    Terminate,
    /// All rows are deleted, or the whole table.
    Forget(Forget),
}

/// Stricter than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as PostgreSQL names them")]
pub enum Isolation {
    RepeatableRead,
    Serializable,
}

/// What a role may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read the table.
    Select,
    /// To change its rows.
    Update,
    /// To log in; its backends are ended.
    LogIn,
}

/// How the rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as PostgreSQL names them")]
pub enum Forget {
    Delete,
    Truncate,
    Drop,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let isolation = *random.one_of(&[Isolation::RepeatableRead, Isolation::Serializable]);
        let right = *random.one_of(&[Right::Select, Right::Update, Right::LogIn]);
        let forget = *random.one_of(&[Forget::Delete, Forget::Truncate, Forget::Drop]);
        let row = u32::try_from(random.between(0, 8)).unwrap_or(0);
        vec![
            Self::Kill,
            Self::KillBackend,
            Self::Restart,
            Self::Pause,
            Self::Slow(random.millis(50, 300)),
            Self::Promote,
            Self::PromoteBehind,
            Self::PromoteSynchronous,
            Self::Isolation(isolation),
            Self::ReadOnly,
            Self::Pooler,
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
            Self::KillBackend | Self::Forget(_) => Duration::from_millis(1),
            Self::Promote | Self::Restart => random.millis(0, 1_000),
            Self::PromoteBehind | Self::PromoteSynchronous | Self::Terminate => random.millis(1_000, 3_000),
            Self::Slow(_) | Self::AlterTable => random.millis(1_000, 4_000),
            _ => random.millis(1_000, 6_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "server killed",
            Self::KillBackend => "backend killed",
            Self::Restart => "server restarted",
            Self::Pause => "server paused",
            Self::Slow(_) => "slow server",
            Self::Promote => "standby promoted",
            Self::PromoteBehind => "standby promoted that was behind",
            Self::PromoteSynchronous => "synchronous standby promoted",
            Self::Isolation(_) => "stricter isolation",
            Self::ReadOnly => "read-only database",
            Self::Pooler => "pooler",
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
