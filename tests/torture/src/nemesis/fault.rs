//! A fault of a worker or of its network, or of the store that the run is on.

use std::fmt;
use std::time::Duration;

use support::proxy::Mode;

use super::{etcd, workers};
use crate::random::Random;

/// A fault, which is in effect for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Of a worker, whatever the store is.
    Worker(workers::Fault),
    /// Of an etcd cluster.
    Etcd(etcd::Fault),
}

impl Fault {
    /// Whether it is among the first of a run: a worker that is silent for longer than a TTL shows the most flaws.
    pub(super) fn comes_first(self) -> bool {
        matches!(self, Self::Worker(workers::Fault::CutWorker(_, Mode::Silent)))
    }

    /// The kind, for the summary.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Worker(fault) => fault.kind(),
            Self::Etcd(fault) => fault.kind(),
        }
    }

    /// For how long it is in effect. The TTL is 3 s: some faults are over before anything lapses, others long after.
    pub fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::Worker(fault) => fault.length(random),
            Self::Etcd(fault) => fault.length(random),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Worker(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Etcd(fault) => write!(f, "{kind}: {fault:?}"),
        }
    }
}
