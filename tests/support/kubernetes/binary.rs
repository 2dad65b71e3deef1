//! Which API servers of Kubernetes there are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Kubernetes, Setup};
use crate::cases::Program;
use crate::{etcd, programs};

/// A kube-apiserver on this machine, with its version. It needs an etcd beside it.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    version: String,
}

impl Binary {
    /// Every kube-apiserver in `LOCKS_KUBERNETES`, `target/servers` and the PATH; one for each version. None without etcd.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let mut labels = HashSet::new();
            let candidates = programs::candidates(&["LOCKS_KUBERNETES"], &["kube-apiserver"]);
            let mut found: Vec<Binary> = candidates.iter().filter_map(|path| Binary::at(path)).collect();
            found.retain(|binary| labels.insert(binary.label()) && !etcd::Binary::all().is_empty());
            found.sort_by_key(Binary::label);
            found
        });
        &ALL
    }

    /// The kube-apiserver at this path, if it is one: it prints "Kubernetes v1.37.2".
    pub fn at(path: &Path) -> Option<Binary> {
        let text = programs::version(path)?;
        let version = text.trim().strip_prefix("Kubernetes v")?.to_owned();
        Some(Binary { path: path.to_owned(), version })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Program for Binary {
    type Server = Kubernetes;
    type Setup = Setup;

    const NAMES: &[&str] = &["kubernetes"];
    const FURTHER: &[(&str, &str)] =
        &[("kubernetes-1.37", "Go 1.26 (`tests/servers.sh kubernetes` takes ten minutes)")];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        format!("kubernetes-{}", programs::release_line(&self.version))
    }

    fn start(&self, setup: &Setup) -> Kubernetes {
        Kubernetes::start(self, setup)
    }

    fn with_tls() -> Setup {
        Setup { certificate: true, ..Setup::default() }
    }
}
