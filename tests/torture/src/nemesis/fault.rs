//! What can be done to the store, to the network and to the workers.

use std::fmt;
use std::time::Duration;

use support::proxy::Mode;

/// Which member: the one that leads when the fault begins, or one that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The leader.
    Leader,
    /// The follower of this number among the followers.
    Follower(usize),
}

/// One thing that the nemesis does, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and started again with its data.
    KillMember(Member),
    /// SIGSTOP, SIGCONT.
    PauseMember(Member),
    /// SIGSTOP, SIGCONT of all followers: nobody can write.
    PauseFollowers,
    /// No way to or from the other members.
    CutMember(Member, Mode),
    /// The others do not hear it, or it does not hear them.
    HalfCutMember(Member),
    /// Every way between it and the others takes longer.
    SlowMember(Member, Duration),
    /// The history is compacted up to now, again and again.
    Compact,
    /// Every member is defragmented, one after the other.
    Defragment,
    /// kill -9 of a worker, and another in its place.
    KillWorker(usize),
    /// SIGSTOP, SIGCONT.
    PauseWorker(usize),
    /// Its connections to all members misbehave.
    CutWorker(usize, Mode),
    /// Its connections to one member misbehave.
    HalfOpen(usize, usize),
    /// Its application's runtime does nothing.
    BlockWorker(usize),
    /// Its lease is revoked, with all it holds.
    Revoke(usize),
}

impl Fault {
    /// Whether only a cluster of our own can be treated so.
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

    /// Whether the store must be reached over a network.
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
            Self::HalfCutMember(_) => "member heard one way",
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
