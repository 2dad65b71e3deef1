//! The faults of an etcd cluster.

use std::time::Duration;

use support::proxy::Mode;

use crate::random::Random;

/// A member of the cluster, by its role when the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The leader.
    Leader,
    /// The follower with this number among the followers.
    Follower(usize),
}

/// A fault of the cluster.
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
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let mut follower = || Member::Follower(usize::from(random.percent(50)));
        let (killed, paused, cut, slow) = (follower(), follower(), follower(), follower());
        let half = if random.percent(50) { Member::Leader } else { Member::Follower(0) };
        vec![
            Self::KillMember(Member::Leader),
            Self::KillMember(killed),
            Self::PauseMember(Member::Leader),
            Self::PauseMember(paused),
            Self::PauseFollowers,
            Self::CutMember(Member::Leader, Mode::Silent),
            Self::CutMember(cut, *random.one_of(&[Mode::Silent, Mode::Refuse])),
            Self::HalfCutMember(half),
            Self::SlowMember(slow, random.millis(20, 200)),
            Self::Compact,
            Self::Defragment,
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::Compact | Self::Defragment => random.millis(1_000, 3_000),
            Self::SlowMember(..) => random.millis(2_000, 5_000),
            _ => random.millis(1_000, 7_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
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
        }
    }
}
