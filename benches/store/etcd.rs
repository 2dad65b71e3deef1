//! etcd, and its client for Go.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store, link};
use crate::machine;
use std::path::Path;
use std::process::Command;
use support::etcd::{Binary, Cluster, Etcd, Metrics, Setup};

const UNARY: [&str; 9] =
    ["Txn", "Range", "Put", "DeleteRange", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Lock", "Unlock"];

pub(super) fn start(name: &'static str, nodes: usize, with_go: bool) -> Result<Store, String> {
    let binary = Binary::all().last().ok_or("etcd (install it with `make servers`)")?;
    let cluster = Cluster::start_with(binary, nodes, &Setup { fsync: true, ..Setup::default() });
    let near: Vec<String> = cluster.members().iter().map(Etcd::endpoint).collect();
    let links: Vec<_> = cluster.members().iter().map(|member| link(member.address())).collect();
    let far: Vec<String> = links.iter().map(|link| link.addr().to_string()).collect();
    let endpoints = Addresses { near: near.join(","), far: far.join(",") };
    let urls = endpoints.map(|endpoints| format!("etcd://{endpoints}"));
    let mut contestants = vec![
        Contestant::here(FLOOR, "etcd-floor", &endpoints),
        Contestant::here(OURS, "ours", &urls),
        Contestant::here("etcd-client lock()", "etcd-lock", &endpoints),
    ];
    let mut clients = format!("etcd-client {}", machine::crate_version("etcd-client"));
    let mut missing = Vec::new();
    if with_go {
        match go(&endpoints) {
            Ok((contestant, version)) => {
                contestants.push(contestant);
                clients = format!("{clients}, {version}");
            }
            Err(reason) => missing.push(reason),
        }
    }
    let members = if nodes == 1 { "1 member".to_owned() } else { format!("{nodes} members") };
    let title = format!("etcd {} with fsync, {members}; {clients}", binary.version());
    let count = Box::new(move |_: &Contestant| counts(&cluster));
    let (url, units) = (urls.near, Some(["RPCs", "proposals"]));
    Ok(Store { name, title, url, contestants, missing, units, links, most_held: None, count })
}

fn counts(cluster: &Cluster) -> Counts {
    let metrics: Vec<Metrics> = cluster.members().iter().map(Etcd::metrics).collect();
    let sum = |figure: &dyn Fn(&Metrics) -> u64| metrics.iter().map(figure).sum::<u64>();
    let renewals = sum(&|member| member.messages("LeaseKeepAlive"));
    let unary = sum(&|one| UNARY.iter().map(|method| one.calls(method)).sum());
    Counts {
        requests: unary + sum(&|member| member.messages("Watch")) + renewals,
        work: cluster.members()[0].proposals(),
        leases: metrics[0].count("etcd_debugging_lease_granted_total", &[]),
        renewals,
    }
}

/// The Go program with its versions; the error says what builds it.
fn go(endpoints: &Addresses) -> Result<(Contestant, String), String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/go/bench");
    if !program.exists() {
        return Err("Go's concurrency.Mutex (`make servers` builds it where there is Go 1.26)".to_owned());
    }
    let version = Command::new(&program).arg("version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let (name, arguments, addresses) = ("Go concurrency.Mutex", Vec::new(), endpoints.clone());
    Ok((Contestant { name, program, arguments, addresses, waits: true }, version))
}
