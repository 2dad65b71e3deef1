//! Which PostgreSQL servers there are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Postgres, Setup};
use crate::cases::Program;
use crate::programs;

/// The programs of one version.
#[derive(Clone, Debug)]
pub struct Binary {
    directory: PathBuf,
    version: String,
}

impl Binary {
    /// Every one in `LOCKS_POSTGRES` (directories), where Debian puts them, in `target/servers` and in the PATH; one for
    /// each version, oldest first.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let mut found: Vec<Binary> = candidates().iter().filter_map(|directory| Binary::in_(directory)).collect();
            found.sort_by_key(|binary| binary.version.parse::<u32>().unwrap_or(0));
            found.dedup_by(|one, other| one.version == other.version);
            found
        });
        &ALL
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Its psql, or that of another version: some packages have only the server's programs.
    pub(super) fn psql(&self) -> PathBuf {
        let own = self.program("psql");
        let others = Binary::all().iter().rev().map(|binary| binary.program("psql"));
        [own].into_iter().chain(others).find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("psql"))
    }

    fn in_(directory: &Path) -> Option<Binary> {
        let text = programs::version(&directory.join("postgres"))?;
        let version = text.strip_prefix("postgres (PostgreSQL) ")?.split(['.', ' ', '\n']).next()?.to_owned();
        Some(Binary { directory: directory.to_owned(), version })
    }
}

impl Program for Binary {
    type Server = Postgres;
    type Setup = Setup;

    const NAMES: &[&str] = &["postgres"];
    const FURTHER: &[(&str, &str)] = &[("postgres-18", "npm")];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        format!("postgres-{}", self.version)
    }

    fn start(&self, setup: &Setup) -> Postgres {
        Postgres::start(self, *setup)
    }

    fn with_tls() -> Setup {
        Setup { tls: true, ..Setup::default() }
    }
}

fn candidates() -> Vec<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin"));
    let all = programs::paths("LOCKS_POSTGRES").into_iter().chain(debian);
    let all = all.chain(programs::fetched().map(|place| place.join("bin"))).chain(programs::paths("PATH"));
    all.filter(|directory| directory.join("postgres").is_file() && directory.join("initdb").is_file()).collect()
}
