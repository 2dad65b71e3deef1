//! The faults of a ZooKeeper ensemble.

use std::time::Duration;

use crate::random::Random;

/// A fault of the ensemble, or of somebody else who uses it. Followers have numbers among the followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the leader, and a restart with its data.
    KillLeader,
    /// The same of a follower.
    KillFollower(usize),
    /// kill -9 of all, and a restart with their data.
    KillAll,
    /// SIGSTOP, SIGCONT of the leader.
    PauseLeader,
    /// The same of a follower.
    PauseFollower(usize),
    /// The same of all followers: there is no quorum.
    PauseFollowers,
    /// SIGSTOP and SIGCONT of the leader, again and again: it answers after this long.
    SlowLeader(Duration),
    /// A follower is killed and loses its data, which it gets again from the leader.
    WipeFollower(usize),
    /// An administrator closes every session.
    CloseSessions,
    /// The node of the lock with this number loses a right.
    Rights(usize, Right),
}

/// What nobody may do any more with the children of a lock's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Create them: nobody enters the queue.
    Create,
    /// Delete them: nobody leaves it.
    Delete,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let mut number = |count| usize::try_from(random.between(0, count)).unwrap_or(0);
        let (killed, paused, wiped, lock) = (number(2), number(2), number(2), number(8));
        let right = *random.one_of(&[Right::Create, Right::Delete]);
        vec![
            Self::KillLeader,
            Self::KillFollower(killed),
            Self::KillAll,
            Self::PauseLeader,
            Self::PauseFollower(paused),
            Self::PauseFollowers,
            Self::SlowLeader(random.millis(50, 300)),
            Self::WipeFollower(wiped),
            Self::CloseSessions,
            Self::Rights(lock, right),
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::CloseSessions => Duration::from_millis(1),
            Self::KillAll | Self::WipeFollower(_) => random.millis(0, 2_000),
            Self::SlowLeader(_) => random.millis(1_000, 4_000),
            _ => random.millis(1_000, 7_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::KillLeader => "leader killed",
            Self::KillFollower(_) => "follower killed",
            Self::KillAll => "all members killed",
            Self::PauseLeader => "leader paused",
            Self::PauseFollower(_) => "follower paused",
            Self::PauseFollowers => "quorum lost",
            Self::SlowLeader(_) => "slow leader",
            Self::WipeFollower(_) => "follower without its data",
            Self::CloseSessions => "sessions closed",
            Self::Rights(..) => "rights revoked",
        }
    }
}
