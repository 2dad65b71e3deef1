//! etcd in the hands of a case.

use std::path::Path;
use std::sync::Arc;

use super::{Binary, Cluster, Etcd, Setup};
use crate::cases::{Program, Store};

impl Program for Binary {
    type Server = Etcd;

    const NAMES: &[&str] = &["etcd"];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        Self::label(self)
    }

    fn start(&self) -> Etcd {
        Etcd::start(self)
    }

    fn log(server: &Etcd) -> &Path {
        server.log()
    }
}

impl Store {
    /// The shared server, with etcd's defaults. Leave it up, and use keys from [`key`](Store::key).
    pub fn etcd(&self) -> Arc<Etcd> {
        self.shared()
    }

    /// A server for this case alone.
    pub fn start(&self, setup: &Setup) -> Etcd {
        let etcd = Etcd::start_with(self.program(), setup);
        self.remember(etcd.log());
        etcd
    }

    /// A cluster for this case alone, with a fast election.
    pub fn cluster(&self, size: usize) -> Cluster {
        self.cluster_with(size, &Setup { fast_election: true, ..Setup::default() })
    }

    /// A cluster for this case alone, otherwise set up.
    pub fn cluster_with(&self, size: usize, setup: &Setup) -> Cluster {
        let cluster = Cluster::start_with(self.program(), size, setup);
        cluster.members().iter().for_each(|member| self.remember(member.log()));
        cluster
    }
}
