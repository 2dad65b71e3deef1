//! The servers as a case sees them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::etcd::{Binary, Cluster, Etcd, Setup, tail};

/// One etcd version, handed to a case: a server shared with the other cases, and as many of its own as it wants.
#[derive(Clone, Debug)]
pub struct Store {
    server: Arc<Server>,
    case: Arc<str>,
    logs: Arc<Mutex<Vec<PathBuf>>>,
}

/// The shared server of one version, started by the first case that wants it and killed after the last.
#[derive(Debug)]
pub(super) struct Server {
    binary: Binary,
    etcd: OnceLock<Arc<Etcd>>,
}

impl Store {
    /// The shared server, with etcd's defaults. Leave it up, and use keys from [`key`](Store::key).
    pub fn etcd(&self) -> Arc<Etcd> {
        let etcd = self.server.etcd.get_or_init(|| Arc::new(Etcd::start(&self.server.binary)));
        self.remember(etcd.log());
        etcd.clone()
    }

    /// A server for this case alone.
    pub fn start(&self, setup: &Setup) -> Etcd {
        let etcd = Etcd::start_with(&self.server.binary, setup);
        self.remember(etcd.log());
        etcd
    }

    /// A cluster for this case alone, with a fast election.
    pub fn cluster(&self, size: usize) -> Cluster {
        let cluster = Cluster::start(&self.server.binary, size);
        cluster.members().iter().for_each(|member| self.remember(member.log()));
        cluster
    }

    /// The program to start otherwise than above.
    pub fn binary(&self) -> &Binary {
        &self.server.binary
    }

    /// A key that no other case and no other run uses: `/case/4f1d…/label`.
    pub fn key(&self, label: &str) -> String {
        let unique = RandomState::new().hash_one(());
        format!("/{}/{unique:016x}/{label}", self.case.replace("::", "/"))
    }

    pub(super) fn new(server: Arc<Server>, case: &str) -> Store {
        Store { server, case: case.into(), logs: Arc::default() }
    }

    /// The ends of the logs of all servers that the case has used and that are still there.
    pub(super) fn log_tails(&self) -> String {
        let logs = self.logs.lock().unwrap();
        let tails = logs.iter().filter(|log| log.exists()).map(|log| format!("\n--- {}\n{}", log.display(), tail(log)));
        tails.collect()
    }

    fn remember(&self, log: &Path) {
        let mut logs = self.logs.lock().unwrap();
        if !logs.iter().any(|known| known == log) {
            logs.push(log.to_owned());
        }
    }
}

impl Server {
    pub(super) fn of(binary: &Binary) -> Server {
        Server { binary: binary.clone(), etcd: OnceLock::new() }
    }

    pub(super) fn label(&self) -> String {
        self.binary.label()
    }
}
