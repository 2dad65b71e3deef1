//! Which Redis and Valkey servers there are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Redis, Setup};
use crate::cases::Program;
use crate::programs;

/// A Redis or Valkey server program on this machine, with its version.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    /// "redis" or "valkey".
    project: &'static str,
    version: String,
}

impl Binary {
    /// Every server in `LOCKS_REDIS`, `LOCKS_VALKEY`, `target/servers` and the PATH; one for each version.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let mut labels = HashSet::new();
            let candidates = programs::candidates(&["LOCKS_REDIS", "LOCKS_VALKEY"], &["redis-server", "valkey-server"]);
            let mut found: Vec<Binary> = candidates.iter().filter_map(|path| Binary::at(path)).collect();
            found.retain(|binary| labels.insert(binary.label()));
            found.sort_by_key(Binary::label);
            found
        });
        &ALL
    }

    /// The server at this path, if it is one: it prints "Redis server v=7.0.15 …".
    pub fn at(path: &Path) -> Option<Binary> {
        let text = programs::version(path)?;
        let project = match text.split_whitespace().next()? {
            "Redis" => "redis",
            "Valkey" => "valkey",
            _ => return None,
        };
        let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?.to_owned();
        Some(Binary { path: path.to_owned(), project, version })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As in "7.0.15".
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Program for Binary {
    type Server = Redis;
    type Setup = Setup;

    const NAMES: &[&str] = &["redis", "valkey"];
    const FURTHER: &[(&str, &str)] = &[("redis-8", "Debian"), ("valkey-8", "Debian")];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        format!("{}-{}", self.project, programs::release_line(&self.version))
    }

    fn start(&self, setup: &Setup) -> Redis {
        Redis::start(self, setup)
    }

    fn with_tls() -> Setup {
        Setup { tls: true, ..Setup::default() }
    }
}
