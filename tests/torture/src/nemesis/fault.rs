//! A fault of a worker or of its network, or of the store that the run is on.

use std::fmt;
use std::time::Duration;

use super::{etcd, file, kubernetes, members, mysql, postgres, redis, workers, zookeeper};
use crate::random::Random;

/// A fault, which is in effect for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Of a worker, whatever the store is.
    Worker(workers::Fault),
    /// Of an etcd cluster.
    Etcd(etcd::Fault),
    /// Of a Redis or Valkey server.
    Redis(redis::Fault),
    /// Of a Redis Cluster, or of a primary with sentinels.
    Members(members::Fault),
    /// Of a MariaDB server.
    Mysql(mysql::Fault),
    /// Of a PostgreSQL server.
    Postgres(postgres::Fault),
    /// Of a ZooKeeper ensemble.
    ZooKeeper(zookeeper::Fault),
    /// Of an API server of Kubernetes.
    Kubernetes(kubernetes::Fault),
    /// Of a directory of lock files.
    File(file::Fault),
}

impl Fault {
    /// The kind, for the summary.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Worker(fault) => fault.kind(),
            Self::Etcd(fault) => fault.kind(),
            Self::Redis(fault) => fault.kind(),
            Self::Members(fault) => fault.kind(),
            Self::Mysql(fault) => fault.kind(),
            Self::Postgres(fault) => fault.kind(),
            Self::ZooKeeper(fault) => fault.kind(),
            Self::Kubernetes(fault) => fault.kind(),
            Self::File(fault) => fault.kind(),
        }
    }

    /// Whether others come first in a run, so that a short one has each of those.
    #[must_use]
    pub fn is_rare(self) -> bool {
        matches!(self, Self::Etcd(fault) if fault.is_rare())
    }

    /// Whether the store is another one then, or goes back.
    #[must_use]
    pub fn exchanges_store(self) -> bool {
        matches!(self, Self::Etcd(fault) if fault.exchanges_store())
    }

    /// For how long it is in effect. The TTL is 3 s: some faults are over before anything lapses, others long after.
    pub fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::Worker(fault) => fault.length(random),
            Self::Etcd(fault) => fault.length(random),
            Self::Redis(fault) => fault.length(random),
            Self::Members(fault) => fault.length(random),
            Self::Mysql(fault) => fault.length(random),
            Self::Postgres(fault) => fault.length(random),
            Self::ZooKeeper(fault) => fault.length(random),
            Self::Kubernetes(fault) => fault.length(random),
            Self::File(fault) => fault.length(random),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Worker(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Etcd(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Redis(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Members(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Mysql(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Postgres(fault) => write!(f, "{kind}: {fault:?}"),
            Self::ZooKeeper(fault) => write!(f, "{kind}: {fault:?}"),
            Self::Kubernetes(fault) => write!(f, "{kind}: {fault:?}"),
            Self::File(fault) => write!(f, "{kind}: {fault:?}"),
        }
    }
}
