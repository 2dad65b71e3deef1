//! The faults of the store, of the network and of the workers.

use std::fmt;
use std::time::Duration;

use support::proxy::Mode;

/// A member of the cluster, by its role when the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The leader.
    Leader,
    /// The follower with this number among the followers.
    Follower(usize),
}

/// A fault, which is in effect for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and a restart with the same data.
    KillMember(Member),
    /// SIGSTOP, SIGCONT.
    PauseMember(Member),
    /// SIGSTOP, SIGCONT of all followers: there is no quorum.
    PauseFollowers,
    /// The connections to and from the other members misbehave.
    CutMember(Member, Mode),
    /// The connections to the other members, or those from them, are not answered.
    HalfCutMember(Member),
    /// The connections to and from the other members are slow.
    SlowMember(Member, Duration),
    /// The store's history is compacted, again and again.
    Compact,
    /// Every member is defragmented, again and again.
    Defragment,
    /// kill -9 of a worker, and another process in its place.
    KillWorker(usize),
    /// SIGSTOP, SIGCONT.
    PauseWorker(usize),
    /// Its connections to all members misbehave.
    CutWorker(usize, Mode),
    /// Its connections to one member are not answered.
    HalfOpen(usize, usize),
    /// Every thread of its application's runtime is blocked.
    BlockWorker(usize),
    /// Its leases are revoked, with everything that it holds.
    Revoke(usize),
}

impl Fault {
    /// Whether it needs a cluster that the torture has started.
    #[must_use]
    pub fn needs_cluster(self) -> bool {
        match self {
            Self::KillMember(_)
            | Self::PauseMember(_)
            | Self::PauseFollowers
            | Self::CutMember(..)
            | Self::HalfCutMember(_)
            | Self::SlowMember(..)
            | Self::Compact
            | Self::Defragment
            | Self::Revoke(_) => true,
            Self::KillWorker(_)
            | Self::PauseWorker(_)
            | Self::CutWorker(..)
            | Self::HalfOpen(..)
            | Self::BlockWorker(_) => false,
        }
    }

    /// Whether it needs a store that is reached over a network.
    #[must_use]
    pub fn needs_network(self) -> bool {
        matches!(self, Self::CutWorker(..) | Self::HalfOpen(..))
    }

    /// The kind, for the summary.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::KillMember(Member::Leader) => "leader killed",
            Self::KillMember(_) => "follower killed",
            Self::PauseMember(Member::Leader) => "leader paused",
            Self::PauseMember(_) => "follower paused",
            Self::PauseFollowers => "quorum lost",
            Self::CutMember(Member::Leader, _) => "leader cut off",
            Self::CutMember(..) => "follower cut off",
            Self::HalfCutMember(_) => "member cut off one way",
            Self::SlowMember(..) => "slow member",
            Self::Compact => "compaction",
            Self::Defragment => "defragmentation",
            Self::KillWorker(_) => "worker killed",
            Self::PauseWorker(_) => "worker paused",
            Self::CutWorker(_, Mode::Delay(_)) => "slow worker",
            Self::CutWorker(_, Mode::Unanswered) => "worker unanswered",
            Self::CutWorker(..) => "worker cut off",
            Self::HalfOpen(..) => "half-open connections",
            Self::BlockWorker(_) => "runtime blocked",
            Self::Revoke(_) => "lease revoked",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}
