//! The faults of a Redis or Valkey server.

use std::time::Duration;

use crate::random::Random;

/// A fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and a restart with the data.
    Kill,
    /// An orderly stop, and a restart with the data.
    Restart,
    /// kill -9, and a restart without the data.
    RestartEmpty,
    /// Somebody deletes all keys, the fences too.
    FlushAll,
    /// SIGSTOP, SIGCONT.
    Pause,
    /// SIGSTOP and SIGCONT, again and again: it answers after this long.
    Slow(Duration),
    /// The primary is killed, and its replica promoted.
    Promote,
    /// The same, after the replica was cut off from it for a while: what was granted meanwhile is forgotten.
    PromoteBehind,
    /// `maxmemory` is below what is used.
    OutOfMemory,
    /// Clients reach the replica, which refuses writes: as by a name that leads to the wrong server.
    ReadOnly,
    /// A snapshot failed, and so writes are refused.
    SnapshotFailed,
    /// Writes are refused because there are too few replicas.
    TooFewReplicas,
    /// Every connection of a client is closed, again and again.
    KillClients,
    /// Writes wait (`CLIENT PAUSE … WRITE`).
    PauseWrites,
    /// The cache of scripts is emptied, again and again.
    FlushScripts,
    /// The workers' user loses some of its rights.
    Rights(Right),
}

/// What a user may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To every key.
    Keys,
    /// To scripts.
    Scripts,
    /// To every channel.
    Channels,
    /// To log in; its connections are closed.
    LogIn,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let right = *random.one_of(&[Right::Keys, Right::Scripts, Right::Channels, Right::LogIn]);
        vec![
            Self::Kill,
            Self::Restart,
            Self::RestartEmpty,
            Self::FlushAll,
            Self::Pause,
            Self::Slow(random.millis(50, 300)),
            Self::Promote,
            Self::PromoteBehind,
            Self::OutOfMemory,
            Self::ReadOnly,
            Self::SnapshotFailed,
            Self::TooFewReplicas,
            Self::KillClients,
            Self::PauseWrites,
            Self::FlushScripts,
            Self::Rights(right),
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::FlushAll => Duration::from_millis(1),
            Self::Promote => random.millis(0, 1_000),
            Self::PromoteBehind | Self::KillClients | Self::FlushScripts => random.millis(1_000, 3_000),
            Self::Slow(_) | Self::Restart => random.millis(1_000, 4_000),
            _ => random.millis(1_000, 6_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "server killed",
            Self::Restart => "server restarted",
            Self::RestartEmpty => "restarted without data",
            Self::FlushAll => "all keys deleted",
            Self::Pause => "server paused",
            Self::Slow(_) => "slow server",
            Self::Promote => "replica promoted",
            Self::PromoteBehind => "replica promoted that was behind",
            Self::OutOfMemory => "out of memory",
            Self::ReadOnly => "read-only server",
            Self::SnapshotFailed => "snapshot failed",
            Self::TooFewReplicas => "too few replicas",
            Self::KillClients => "connections closed",
            Self::PauseWrites => "writes paused",
            Self::FlushScripts => "scripts flushed",
            Self::Rights(_) => "rights revoked",
        }
    }
}
