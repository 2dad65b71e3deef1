//! Which PostgreSQL servers there are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The programs of one version.
#[derive(Clone, Debug)]
pub struct Binary {
    directory: PathBuf,
    version: String,
}

impl Binary {
    /// Every one in `LOCKS_POSTGRES` (directories), where Debian puts them, and in the PATH; one for each version, oldest
    /// first.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let mut found: Vec<Binary> = candidates().iter().filter_map(|directory| Binary::in_(directory)).collect();
            found.sort_by_key(|binary| binary.version.parse::<u32>().unwrap_or(0));
            found.dedup_by(|one, other| one.version == other.version);
            found
        });
        &ALL
    }

    /// The name for tests, such as "postgres-15".
    pub fn label(&self) -> String {
        format!("postgres-{}", self.version)
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn in_(directory: &Path) -> Option<Binary> {
        let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.strip_prefix("postgres (PostgreSQL) ")?.split(['.', ' ', '\n']).next()?.to_owned();
        Some(Binary { directory: directory.to_owned(), version })
    }
}

fn candidates() -> Vec<PathBuf> {
    let named = env::var_os("LOCKS_POSTGRES").unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let debian = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin"));
    let all = env::split_paths(&named).chain(debian).chain(env::split_paths(&path));
    all.filter(|directory| directory.join("postgres").is_file() && directory.join("initdb").is_file()).collect()
}
