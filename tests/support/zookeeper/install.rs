//! Which ZooKeeper there is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::{Setup, ZooKeeper};
use crate::cases::{Fixture, Program};
use crate::programs;

/// A ZooKeeper on this machine: its jars, which any Java can run.
#[derive(Clone, Debug)]
pub struct Installed {
    jars: OsString,
    version: String,
}

/// What the server needs beside itself, as Debian names the jars. A release has all of them in one directory.
const LIBRARIES: &[&str] = &[
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-simple",
    "metrics-core",
    "snappy-java",
    "commons-cli",
    "netty-buffer",
    "netty-codec",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-epoll",
    "netty-transport-native-unix-common",
];

impl Installed {
    /// Those in `LOCKS_ZOOKEEPER` (directories of releases) and `target/servers`, and Debian's, if there is a Java; one
    /// for each version, oldest first.
    pub fn all() -> &'static [Installed] {
        static ALL: LazyLock<Vec<Installed>> = LazyLock::new(|| {
            let java = Command::new("java").arg("-version").output().is_ok_and(|java| java.status.success());
            let releases = programs::paths("LOCKS_ZOOKEEPER").into_iter().chain(programs::fetched());
            let releases = releases.filter_map(|release| Installed::release(&release.join("lib")));
            let all = releases.chain(Installed::debian(Path::new("/usr/share/java")));
            let mut found: Vec<Installed> = all.filter(|_| java).collect();
            found.sort_by_key(Installed::label);
            found.dedup_by_key(|installed| installed.label());
            found
        });
        &ALL
    }

    /// A command that runs a class on ZooKeeper's jars, and on others of Debian's.
    pub fn java(&self, further: &[&str]) -> Command {
        let mut jars = self.jars.clone();
        for name in further {
            jars.push(format!(":/usr/share/java/{name}.jar"));
        }
        let mut command = Command::new("java");
        // Small and quickly there: servers are many and short-lived.
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jars);
        command
    }

    fn debian(directory: &Path) -> Option<Installed> {
        let version = version(directory)?;
        let jars = ["zookeeper"].iter().chain(LIBRARIES).map(|name| directory.join(format!("{name}.jar")));
        Some(Installed { jars: env::join_paths(jars).unwrap(), version })
    }

    fn release(directory: &Path) -> Option<Installed> {
        Some(Installed { jars: directory.join("*").into(), version: version(directory)? })
    }
}

/// "3.8.0" of `zookeeper-3.8.0.jar`.
fn version(directory: &Path) -> Option<String> {
    let names = directory.read_dir().ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let versions = names.filter_map(|name| Some(name.strip_prefix("zookeeper-")?.strip_suffix(".jar")?.to_owned()));
    versions.into_iter().find(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

impl Program for Installed {
    type Server = ZooKeeper;
    type Setup = Setup;

    const NAMES: &[&str] = &["zookeeper"];
    const FURTHER: &[(&str, &str)] = &[("zookeeper-3.9", "Maven")];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        format!("zookeeper-{}", programs::release_line(&self.version))
    }

    fn start(&self, setup: &Setup) -> ZooKeeper {
        ZooKeeper::start(self, setup)
    }

    fn with_tls() -> Setup {
        Setup { tls: true, ..Setup::default() }
    }
}

impl Fixture<Installed> {
    /// Three servers for this case alone.
    pub fn ensemble(&self, setup: &Setup) -> Vec<ZooKeeper> {
        let servers = ZooKeeper::start_ensemble(self.program(), 3, setup);
        servers.iter().for_each(|server| self.remember(server.log()));
        servers
    }
}

/// The path of a file among the tests' sources.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("zookeeper").join(name)
}
