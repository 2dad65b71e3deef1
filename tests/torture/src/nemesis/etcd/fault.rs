//! The faults of an etcd cluster and of the network between its members.

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
    /// The quota is used up, until somebody makes room.
    FillUp,
    /// Every write to its disk takes so much longer.
    SlowDisk(Member, Duration),
    /// kill -9, and its data is lost: it is removed from the cluster, and added again without data.
    WipeMember(Member),
    /// It is removed from the cluster while it runs, and another one is added in its place.
    ReplaceMember(Member),
    /// Behind its address is a server of another cluster.
    Impostor(Member),
    /// All members are replaced by what a snapshot had some seconds ago; whether the cluster has another identity then.
    Restore(bool),
    /// All members are restarted with the next version, one after the other, up to the newest; the next time back.
    Roll,
    /// The role of the workers' user has no right any more, for a time.
    TakeRight,
    /// Users are not asked for, for a time.
    AuthenticationOff,
    /// The workers' user has another password, for a time.
    ChangePassword,
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let mut follower = || Member::Follower(usize::from(random.percent(50)));
        let (killed, paused, cut, slow) = (follower(), follower(), follower(), follower());
        let half = if random.percent(50) { Member::Leader } else { Member::Follower(0) };
        let mut deck = vec![
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
        ];
        let mut any = || *random.one_of(&[Member::Leader, Member::Follower(0), Member::Follower(1)]);
        let (slow, wiped, replaced, other) = (any(), any(), any(), any());
        deck.extend([
            Self::FillUp,
            Self::SlowDisk(slow, random.millis(50, 400)),
            Self::WipeMember(wiped),
            Self::ReplaceMember(replaced),
            Self::Impostor(other),
            Self::Restore(random.percent(50)),
            Self::Roll,
        ]);
        deck
    }

    /// What a cluster with users has beside them. It does not roll: the tests' way to ask for that knows no users.
    pub(in crate::nemesis) fn deck_with_users(random: &mut Random) -> Vec<Self> {
        let mut deck = Self::deck(random);
        deck.retain(|fault| *fault != Self::Roll);
        deck.extend([Self::TakeRight, Self::AuthenticationOff, Self::ChangePassword]);
        deck
    }

    /// Whether others come first in a run, so that a short one has each of those.
    pub(in crate::nemesis) fn is_rare(self) -> bool {
        matches!(
            self,
            Self::FillUp
                | Self::SlowDisk(..)
                | Self::WipeMember(_)
                | Self::ReplaceMember(_)
                | Self::Impostor(_)
                | Self::Restore(_)
                | Self::Roll
                | Self::TakeRight
                | Self::AuthenticationOff
                | Self::ChangePassword
        )
    }

    /// Whether the store is another one then, or goes back: what only a lock survives that looks for it.
    pub(in crate::nemesis) fn exchanges_store(self) -> bool {
        matches!(self, Self::Impostor(_) | Self::Restore(_))
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::Compact | Self::Defragment => random.millis(1_000, 3_000),
            Self::SlowMember(..) => random.millis(2_000, 5_000),
            // The length of the whole way, of which each member has its share.
            Self::Roll => random.millis(12_000, 18_000),
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
            Self::FillUp => "out of space",
            Self::SlowDisk(..) => "slow disk",
            Self::WipeMember(_) => "member wiped",
            Self::ReplaceMember(_) => "member replaced",
            Self::Impostor(_) => "another cluster at a member's address",
            Self::Restore(_) => "snapshot restored",
            Self::Roll => "another version",
            Self::TakeRight => "right revoked",
            Self::AuthenticationOff => "authentication off",
            Self::ChangePassword => "password changed",
        }
    }
}
