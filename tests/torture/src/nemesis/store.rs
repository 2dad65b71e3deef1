//! The store that a run is on: one that the torture has started, or one that somebody else has.

use std::io;
use std::path::Path;
use std::time::Duration;

use support::cases::Program;
use support::etcd::Binary;

use super::etcd::{self, EtcdCluster};
use super::fault::Fault;
use super::log::FaultLog;
use crate::history::Recorder;
use crate::random::Random;

/// The store of a run. Each that the torture starts has a room of its own beside this file: its faults, how they are
/// injected, and who observes what is in it.
#[derive(Debug)]
pub enum Store {
    /// An etcd cluster.
    Etcd(EtcdCluster),
    /// A store that somebody else has started.
    Named(String),
}

/// The kinds of stores, by the faults that can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An etcd cluster that the torture has started.
    Etcd,
    /// A server that somebody else has started: faults of the workers and of the network between them and it.
    Remote,
    /// Files: faults of the workers only.
    Directory,
}

impl Kind {
    /// One fault of the store of each kind that it has.
    pub(super) fn deck(self, random: &mut Random) -> Vec<Fault> {
        match self {
            Self::Etcd => etcd::Fault::deck(random).into_iter().map(Fault::Etcd).collect(),
            Self::Remote | Self::Directory => Vec::new(),
        }
    }

    /// Whether the torture has started it, and may look into it.
    pub(super) fn is_local(self) -> bool {
        !matches!(self, Self::Remote | Self::Directory)
    }

    /// Whether it is reached over a network.
    pub(super) fn has_network(self) -> bool {
        self != Self::Directory
    }
}

impl Store {
    /// Starts the installed store with this label, unless it is a URL.
    ///
    /// # Errors
    ///
    /// If there is no such store.
    pub async fn start(store: &str) -> io::Result<Self> {
        if store.contains(':') {
            return Ok(Self::Named(store.to_owned()));
        }
        let installed = Binary::all();
        if let Some(binary) = installed.iter().find(|binary| binary.label() == store) {
            return EtcdCluster::start(binary).await.map(Self::Etcd);
        }
        let labels: Vec<String> = installed.iter().map(|binary| format!("`{}`", binary.label())).collect();
        let labels = labels.join(", ");
        Err(io::Error::other(format!("STORE={store}: expected a URL, or an installed etcd: {labels}")))
    }

    /// By the faults that can be injected.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Etcd(_) => Kind::Etcd,
            Self::Named(url) if url.starts_with("file:") => Kind::Directory,
            Self::Named(_) => Kind::Remote,
        }
    }

    /// Its URL, by which no fault of the network has an effect.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Etcd(store) => store.url(),
            Self::Named(url) => url.clone(),
        }
    }

    /// Injects a fault of this store, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        if let (Self::Etcd(store), Fault::Etcd(fault)) = (self, fault) {
            store.inject(fault, length, log).await;
        }
    }

    /// Takes from the process with this number everything that it holds or waits for.
    pub(super) async fn revoke(&self, pid: u32) {
        match self {
            Self::Etcd(store) => store.admin.revoke_leases_of(pid).await,
            Self::Named(_) => {}
        }
    }

    /// Records what appears and disappears in the store, until it is dropped. `None` where nobody looks into it.
    #[must_use]
    pub fn observe(&self, recorder: Recorder) -> Option<impl Future<Output = ()> + Send + 'static> {
        match self {
            Self::Etcd(store) => Some(store.admin.clone().observe(recorder)),
            Self::Named(_) => None,
        }
    }

    /// The servers' logs, which are deleted with the servers.
    #[must_use]
    pub fn logs(&self) -> Vec<&Path> {
        match self {
            Self::Etcd(store) => store.logs().collect(),
            Self::Named(_) => Vec::new(),
        }
    }
}
