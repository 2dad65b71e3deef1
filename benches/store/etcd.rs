//! etcd, and Go's client of it.

use super::{Counts, FLOOR, OURS, Store, Who};
use crate::machine;
use std::path::Path;
use std::process::Command;
use support::etcd::{Binary, Cluster, Etcd, Metrics, Setup};

const UNARY: [&str; 9] =
    ["Txn", "Range", "Put", "DeleteRange", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Lock", "Unlock"];

pub(super) fn start(name: &'static str, nodes: usize, with_go: bool) -> Result<Store, String> {
    let binary = Binary::all().last().ok_or("etcd (`make servers` installs it)")?;
    let cluster = Cluster::start_with(binary, nodes, &Setup { fsync: true, ..Setup::default() });
    let endpoints: Vec<String> = cluster.members().iter().map(Etcd::endpoint).collect();
    let endpoints = endpoints.join(",");
    let url = format!("etcd://{endpoints}");
    let mut contestants = vec![
        Who::here(FLOOR, "etcd-floor", &endpoints),
        Who::here(OURS, "ours", &url),
        Who::here("etcd-client lock()", "etcd-lock", &endpoints),
    ];
    let mut clients = format!("etcd-client {}", machine::crate_version("etcd-client"));
    let mut missing = Vec::new();
    if with_go {
        match go(&endpoints) {
            Ok((who, version)) => {
                contestants.push(who);
                clients = format!("{clients}, {version}");
            }
            Err(why) => missing.push(why),
        }
    }
    let title = format!("etcd {} on disk, {nodes} member(s); {clients}", binary.version());
    let count = Box::new(move |_: &Who| counts(&cluster));
    Ok(Store { name, title, url, contestants, missing, units: Some(["RPCs", "proposals"]), count })
}

fn counts(cluster: &Cluster) -> Counts {
    let metrics: Vec<Metrics> = cluster.members().iter().map(Etcd::metrics).collect();
    let sum = |of_one: &dyn Fn(&Metrics) -> u64| metrics.iter().map(of_one).sum::<u64>();
    let renewals = sum(&|one| one.messages("LeaseKeepAlive"));
    let unary = sum(&|one| UNARY.iter().map(|method| one.calls(method)).sum());
    Counts {
        requests: unary + sum(&|one| one.messages("Watch")) + renewals,
        work: metrics[0].proposals(),
        leases: metrics[0].count("etcd_debugging_lease_granted_total", &[]),
        renewals,
    }
}

/// Builds the Go program where Go and etcd's Go packages are installed, and asks it for its versions.
fn go(endpoints: &str) -> Result<(Who, String), String> {
    const NEEDED: &str = "Go's concurrency.Mutex (Debian: golang golang-etcd-server-dev)";
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = package.join("../target/bench");
    let program = target.join("go-worker");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(package.join("go/main.go"));
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOCACHE", target.join("go-cache"));
    let output = build.output().map_err(|_| NEEDED)?;
    if !output.status.success() {
        return Err(format!(
            "{NEEDED}: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
        ));
    }
    let version = Command::new(&program).arg("version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    Ok((Who { name: "Go concurrency.Mutex", program, arguments: vec![endpoints.to_owned()] }, version))
}
