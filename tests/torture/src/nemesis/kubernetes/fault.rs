//! The faults of an API server and its etcd.

use std::time::Duration;

use crate::random::Random;

/// A fault of the servers, or of somebody else who uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the API server, and a restart.
    KillServer,
    /// SIGSTOP, SIGCONT of the API server.
    PauseServer,
    /// SIGSTOP and SIGCONT of it, again and again: it answers after this long.
    SlowServer(Duration),
    /// kill -9 of its etcd, and a restart with its data.
    KillEtcd,
    /// SIGSTOP, SIGCONT of its etcd: the API server answers that it cannot.
    PauseEtcd,
    /// kill -9 of both, and a restart with their data.
    KillBoth,
    /// The account of the workers loses this right.
    Rights(Right),
    /// Somebody deletes every Lease.
    DeleteLeases,
    /// Somebody frees every Lease, as client-go does.
    FreeLeases,
    /// Somebody writes into every Lease, again and again, and means no harm.
    Edits,
}

/// What the account may not do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Make Leases.
    Create,
    /// Change them: nothing is renewed.
    Patch,
    /// Delete them.
    Delete,
    /// Watch them.
    Watch,
}

impl Right {
    /// The rights that are left.
    pub(super) fn others(self) -> Vec<&'static str> {
        let verb = match self {
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Watch => "watch",
        };
        ["get", "list", "watch", "create", "patch", "delete"].into_iter().filter(|other| *other != verb).collect()
    }
}

impl Fault {
    /// One fault of each kind.
    pub(in crate::nemesis) fn deck(random: &mut Random) -> Vec<Self> {
        let right = *random.one_of(&[Right::Create, Right::Patch, Right::Delete, Right::Watch]);
        vec![
            Self::KillServer,
            Self::PauseServer,
            Self::SlowServer(random.millis(50, 300)),
            Self::KillEtcd,
            Self::PauseEtcd,
            Self::KillBoth,
            Self::Rights(right),
            Self::DeleteLeases,
            Self::FreeLeases,
            Self::Edits,
        ]
    }

    pub(in crate::nemesis) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::DeleteLeases | Self::FreeLeases => Duration::from_millis(1),
            Self::KillServer | Self::KillEtcd | Self::KillBoth => random.millis(0, 2_000),
            Self::SlowServer(_) | Self::Edits => random.millis(1_000, 4_000),
            _ => random.millis(1_000, 7_000),
        }
    }

    pub(in crate::nemesis) fn kind(self) -> &'static str {
        match self {
            Self::KillServer => "API server killed",
            Self::PauseServer => "API server paused",
            Self::SlowServer(_) => "slow API server",
            Self::KillEtcd => "its etcd killed",
            Self::PauseEtcd => "its etcd paused",
            Self::KillBoth => "both killed",
            Self::Rights(_) => "rights revoked",
            Self::DeleteLeases => "Leases deleted",
            Self::FreeLeases => "Leases freed",
            Self::Edits => "Leases edited",
        }
    }
}
