//! Which Redis and Valkey servers there are.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use super::{Redis, Setup};
use crate::cases::{Program, Store};

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
            let mut found: Vec<Binary> = candidates().iter().filter_map(|path| Binary::at(path)).collect();
            found.retain(|binary| labels.insert(binary.label()));
            found.sort_by_key(Binary::label);
            found
        });
        &ALL
    }

    /// The server at this path, if it is one: it says "Redis server v=7.0.15 …".
    pub fn at(path: &Path) -> Option<Binary> {
        let output = Command::new(path).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
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

    const NAMES: &[&str] = &["redis", "valkey"];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        let line = self.version.rsplit_once('.').map_or(&*self.version, |(line, _)| line);
        format!("{}-{line}", self.project)
    }

    fn start(&self) -> Redis {
        Redis::start(self, &Setup::default())
    }

    fn log(server: &Redis) -> &Path {
        server.log()
    }
}

impl Store<Binary> {
    /// The shared server, with Redis' defaults and without persistence. Leave it up, and use keys of your own.
    pub fn redis(&self) -> Arc<Redis> {
        self.shared()
    }

    /// A server for this case alone.
    pub fn start(&self, setup: &Setup) -> Redis {
        let redis = Redis::start(self.program(), setup);
        self.remember(redis.log());
        redis
    }
}

fn candidates() -> Vec<PathBuf> {
    let list = |name: &str| env::var_os(name).unwrap_or_default();
    let (redis, valkey, path) = (list("LOCKS_REDIS"), list("LOCKS_VALKEY"), list("PATH"));
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
    let fetched = servers.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let directories = fetched.chain(env::split_paths(&path));
    let inside = directories.flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
    let named = env::split_paths(&redis).chain(env::split_paths(&valkey)).collect::<Vec<_>>();
    named.into_iter().chain(inside).filter(|path| path.is_file()).collect()
}
