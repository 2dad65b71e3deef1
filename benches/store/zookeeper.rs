//! ZooKeeper on disk, and Curator.

use super::{Addresses, CURATOR, Contestant, Counts, FLOOR, OURS, Store, link};
use crate::machine;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::cases::Program;
use support::zookeeper::{Installed, Setup};

pub(super) fn start(name: &'static str, with_java: bool) -> Result<Store, String> {
    let program = Installed::all().last().ok_or("ZooKeeper (install it with `make servers`)")?;
    let server = program.start(&Setup { fsync: true, ..Setup::default() });
    let links = vec![link(server.address())];
    let addresses = Addresses::of(&server.address().to_string(), &links[0], str::to_owned);
    let urls = addresses.map(|address| format!("zookeeper://{address}"));
    let mut contestants =
        vec![Contestant::here(FLOOR, "zookeeper-floor", &addresses), Contestant::here(OURS, "ours", &urls)];
    let mut clients = format!("zookeeper-client {}", machine::crate_version("zookeeper-client"));
    let mut missing = Vec::new();
    if with_java {
        match curator(&addresses) {
            Ok((contestant, version)) => {
                contestants.push(contestant);
                clients = format!("{clients}, Curator {version}");
            }
            Err(reason) => missing.push(reason),
        }
    }
    let version = program.label().replace("zookeeper-", "");
    let title = format!("ZooKeeper {version} with fsync, one server; {clients}");
    let count = Box::new(move |_: &Contestant| {
        let requests = server.requests();
        Counts { requests, work: server.zxid(), leases: server.count("zk_global_sessions"), renewals: requests }
    });
    let (url, units) = (urls.near, Some(["requests", "transact."]));
    Ok(Store { name, title, url, contestants, missing, units, links, most_held: None, count })
}

/// Compiles the Java program, and returns it with Curator's version; the error says what is missing.
fn curator(addresses: &Addresses) -> Result<(Contestant, String), String> {
    const NEEDED: &str = "Curator's InterProcessMutex (a JDK and Maven, and `make servers`)";
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (jars, classes) = (package.join("../target/peers/curator/jars"), package.join("../target/bench/java"));
    let version = version(&jars).ok_or(NEEDED)?;
    fs::create_dir_all(&classes).unwrap();
    let mut path = OsString::from(&classes);
    path.push(":");
    path.push(jars.join("*"));
    let mut compile = Command::new("javac");
    compile.arg("-nowarn").arg("-cp").arg(&path).arg("-d").arg(&classes).arg(package.join("java/CuratorWorker.java"));
    let output = compile.output().map_err(|_| NEEDED)?;
    if !output.status.success() {
        return Err(format!("{NEEDED}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = path.into_string().map_err(|_| NEEDED)?;
    let arguments = ["-Xmx256m", "-cp", &path, "CuratorWorker"].map(str::to_owned).to_vec();
    let (name, program) = (CURATOR, PathBuf::from("java"));
    Ok((Contestant { name, program, arguments, addresses: addresses.clone(), waits: true }, version))
}

/// "5.7.1" of `curator-recipes-5.7.1.jar`.
fn version(jars: &Path) -> Option<String> {
    let names = jars.read_dir().ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let versions =
        names.filter_map(|name| Some(name.strip_prefix("curator-recipes-")?.strip_suffix(".jar")?.to_owned()));
    versions.last()
}
