//! Which etcd binaries there are.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

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
            let mut found: Vec<Binary> = candidates().iter().filter_map(|path| Binary::at(path)).collect();
            found.retain(|binary| versions.insert(binary.version.clone()));
            found.sort_by_key(|binary| numbers(&binary.version));
            found
        });
        &ALL
    }

    /// The etcd at this path, if it is one.
    pub fn at(path: &Path) -> Option<Binary> {
        let output = Command::new(path).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
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

    /// The name for tests: "etcd-3.5", or "etcd-3.5.1" where several 3.5 are installed.
    pub fn label(&self) -> String {
        let line = release_line(&self.version);
        let namesakes = Binary::all().iter().filter(|other| release_line(&other.version) == line).count();
        format!("etcd-{}", if namesakes > 1 { &self.version } else { line })
    }

    /// The etcdctl beside it, or else the one in the PATH.
    pub(super) fn etcdctl(&self) -> PathBuf {
        let beside = self.path.with_file_name("etcdctl");
        if beside.exists() { beside } else { PathBuf::from("etcdctl") }
    }
}

fn candidates() -> Vec<PathBuf> {
    let named = env::var_os("LOCKS_ETCD").unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
    let fetched = servers.read_dir().into_iter().flatten().flatten().map(|entry| entry.path().join("etcd"));
    let in_path = env::split_paths(&path).map(|directory| directory.join("etcd"));
    env::split_paths(&named).chain(fetched).chain(in_path).filter(|path| path.is_file()).collect()
}

/// "3.5" of "3.5.1".
fn release_line(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(line, _)| line)
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}
