//! Which etcd programs there are, and etcd in the hands of a case.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Cluster, Etcd, Setup};
use crate::cases::{Fixture, Program};
use crate::programs;

/// An etcd program on this machine, with its version.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    version: String,
}

impl Binary {
    /// Every etcd in `LOCKS_ETCD`, `target/servers` and the PATH; one for each version, oldest first.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let mut versions = HashSet::new();
            let candidates = programs::candidates(&["LOCKS_ETCD"], &["etcd"]);
            let mut found: Vec<Binary> = candidates.iter().filter_map(|path| Binary::at(path)).collect();
            found.retain(|binary| versions.insert(binary.version.clone()));
            found.sort_by_key(|binary| numbers(&binary.version));
            found
        });
        &ALL
    }

    /// The etcd at this path, if it is one.
    pub fn at(path: &Path) -> Option<Binary> {
        let text = programs::version(path)?;
        let version = text.lines().next()?.strip_prefix("etcd Version: ")?.trim().to_owned();
        Some(Binary { path: path.to_owned(), version })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As in "3.5.1".
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The etcdctl beside it, or else the one in the PATH.
    pub(super) fn etcdctl(&self) -> PathBuf {
        let beside = self.path.with_file_name("etcdctl");
        if beside.exists() { beside } else { PathBuf::from("etcdctl") }
    }
}

impl Program for Binary {
    type Server = Etcd;
    type Setup = Setup;

    const NAMES: &[&str] = &["etcd"];
    const FURTHER: &[(&str, &str)] = &[("etcd-3.6", "Go 1.26"), ("etcd-3.7", "Go 1.26")];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    /// "etcd-3.5", or "etcd-3.5.1" where several 3.5 are installed.
    fn label(&self) -> String {
        let line = programs::release_line(&self.version);
        let same_line = |other: &&Binary| programs::release_line(&other.version) == line;
        let namesakes = Binary::all().iter().filter(same_line).count();
        format!("etcd-{}", if namesakes > 1 { &self.version } else { line })
    }

    fn start(&self, setup: &Setup) -> Etcd {
        Etcd::start_with(self, setup)
    }

    fn with_tls() -> Setup {
        Setup { tls: true, ..Setup::default() }
    }
}

impl Fixture {
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

fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}
