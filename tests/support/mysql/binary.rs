//! Which MariaDB servers there are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Mysql, Setup};
use crate::cases::Program;
use crate::programs;

/// The server of one version.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    version: String,
}

impl Binary {
    /// Every one in `LOCKS_MARIADB` (paths of `mariadbd`), in `target/servers`, in the PATH and where Debian puts it; one for each
    /// version, oldest first.
    pub fn all() -> &'static [Binary] {
        static ALL: LazyLock<Vec<Binary>> = LazyLock::new(|| {
            let debian = Path::new("/usr/sbin/mariadbd").to_owned();
            let candidates = programs::candidates(&["LOCKS_MARIADB"], &["mariadbd"]);
            let mut found: Vec<Binary> =
                candidates.into_iter().chain([debian]).filter_map(|path| Binary::at(&path)).collect();
            found.sort_by_key(|binary| numbers(&binary.version));
            found.dedup_by(|one, other| one.version == other.version);
            found
        });
        &ALL
    }

    /// The server's program.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// One of the programs beside it, or that of the system.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        let beside = self.path.with_file_name(name);
        if beside.exists() { beside } else { PathBuf::from(name) }
    }

    fn at(path: &Path) -> Option<Binary> {
        // "mariadbd  Ver 10.11.14-MariaDB for debian-linux-gnu on x86_64"
        let text = programs::version(path)?;
        let version = text.split("Ver ").nth(1)?.split_once("-MariaDB")?.0;
        Some(Binary { path: path.to_owned(), version: programs::release_line(version).to_owned() })
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

impl Program for Binary {
    type Server = Mysql;
    type Setup = Setup;

    const NAMES: &[&str] = &["mariadb"];
    const FURTHER: &[(&str, &str)] = &[];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        format!("mariadb-{}", self.version)
    }

    fn start(&self, setup: &Setup) -> Mysql {
        Mysql::start(self, *setup)
    }

    fn with_tls() -> Setup {
        Setup { tls: true, ..Setup::default() }
    }
}
