//! The faults of a Redis Cluster, and of a primary that sentinels watch.

use std::time::Duration;

use crate::random::Random;

/// A fault of the servers of one shard, which is chosen by a lock that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the primary, until its replica is promoted; it comes back as the replica.
    FailOver(u64),
    /// The primary is paused until its replica is promoted, and comes back believing that it is one.
    PauseUntilPromoted(u64),
    /// SIGSTOP, SIGCONT of the primary, which may be too short for a failover.
    Pause(u64),
    /// The primary and its replica are killed, and start again: without the data, for they keep none.
    LoseShard(u64),
    /// kill -9 of the replica, and a start.
    KillReplica(u64),
    /// Every connection of a client is closed, again and again.
    KillClients,
    /// Of a cluster: the slot of a lock moves to another shard, key by key.
    MoveSlot(u64),
    /// Of sentinels: one is killed, and starts again.
    KillSentinel(u64),
}

impl Fault {
    /// One fault of each kind that a cluster has.
    pub(in crate::nemesis) fn deck_of_cluster(random: &mut Random) -> Vec<Self> {
        let mut deck = Self::deck(random);
        deck.push(Self::MoveSlot(random.between(0, 1_000)));
        deck
    }

    /// One fault of each kind that a primary with sentinels has.
    pub(in crate::nemesis) fn deck_of_sentinels(random: &mut Random) -> Vec<Self> {
        let mut deck = Self::deck(random);
        deck.push(Self::KillSentinel(random.between(0, 1_000)));
        deck
    }

    fn deck(random: &mut Random) -> Vec<Self> {
        let mut any = || random.between(0, 1_000);
        vec![
            Self::FailOver(any()),
            Self::PauseUntilPromoted(any()),
            Self::Pause(any()),
            Self::LoseShard(any()),
            Self::KillReplica(any()),
            Self::KillClients,
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::FailOver(_) | Self::PauseUntilPromoted(_) => Duration::from_secs(8),
            Self::MoveSlot(_) => random.millis(200, 2_000),
            _ => random.millis(500, 3_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::FailOver(_) => "failover",
            Self::PauseUntilPromoted(_) => "failover from a paused primary",
            Self::Pause(_) => "primary paused",
            Self::LoseShard(_) => "shard restarted without data",
            Self::KillReplica(_) => "replica killed",
            Self::KillClients => "connections closed",
            Self::MoveSlot(_) => "slot moved",
            Self::KillSentinel(_) => "sentinel killed",
        }
    }
}
