//! The stores: their servers, the contestants on each, and what the servers count.

use crate::case::{Case, DELAY, Wants};
use crate::settings::Settings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use support::proxy::{Mode, Proxy};

mod etcd;
mod file;
mod kubernetes;
mod mysql;
mod postgres;
mod redis;
mod zookeeper;

/// The contestant with the fewest requests.
pub(crate) const FLOOR: &str = "floor";
/// The contestant with the attribute.
pub(crate) const OURS: &str = "ours";
const CURATOR: &str = "Curator";

/// A store, whose server runs for as long as this value lives.
pub(crate) struct Store {
    /// For headings, as in "etcd, one node".
    pub(crate) name: &'static str,
    /// With versions and settings.
    pub(crate) title: String,
    /// For `Locks::connect`.
    pub(crate) url: String,
    /// The floor first, ours second.
    pub(crate) contestants: Vec<Contestant>,
    /// Other clients that are not installed.
    pub(crate) missing: Vec<String>,
    /// What requests and the server's work are called; `None` where they are not counted.
    pub(crate) units: Option<[&'static str; 2]>,
    /// The slow links to the servers; empty where there is none.
    pub(crate) links: Vec<Proxy>,
    /// How many locks one process can hold at once, where that is bounded.
    pub(crate) most_held: Option<u32>,
    /// What the server has counted until now, for this contestant. Owns the server.
    pub(crate) count: Box<dyn Fn(&Contestant) -> Counts>,
}

/// A program to be measured, which takes these arguments and then those of [`worker`](crate::worker).
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    program: PathBuf,
    /// Before the address.
    arguments: Vec<String>,
    addresses: Addresses,
    /// Whether it waits for others.
    waits: bool,
}

/// Where a store is.
#[derive(Clone, Debug)]
struct Addresses {
    near: String,
    /// The same behind the slow links.
    far: String,
}

impl Addresses {
    /// `address` of a server that is at `near`, and behind `link`.
    fn of(near: &str, link: &Proxy, address: impl Fn(&str) -> String) -> Self {
        Self { near: address(near), far: address(&link.addr().to_string()) }
    }

    fn map(&self, address: impl Fn(&str) -> String) -> Self {
        Self { near: address(&self.near), far: address(&self.far) }
    }
}

/// A slow link to a server.
fn link(server: SocketAddr) -> Proxy {
    let proxy = Proxy::to(server);
    proxy.set(Mode::Delay(DELAY));
    proxy
}

/// What the server has counted: in all members together, but work only in one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests, and messages on streams.
    pub(crate) requests: u64,
    /// Entries in the raft log; commands carried out, also those in scripts.
    pub(crate) work: u64,
    /// Leases granted.
    pub(crate) leases: u64,
    /// Renewals.
    pub(crate) renewals: u64,
}

/// Starts a store; the error names what is not installed.
pub(crate) fn start(name: &str, settings: &Settings) -> Result<Store, String> {
    // The first build of a Go or Java program takes longer than a trial.
    let with_builds = !settings.is_trial;
    match name {
        "etcd-1" => etcd::start("etcd, one node", 1, with_builds),
        "etcd-3" => etcd::start("etcd, three nodes", 3, with_builds),
        "redis" => redis::start("Redis"),
        "postgres" => postgres::start("PostgreSQL"),
        "mysql" => mysql::start("MariaDB"),
        "zookeeper" => zookeeper::start("ZooKeeper", with_builds),
        "kubernetes" => kubernetes::start("Kubernetes"),
        "file" => Ok(file::start("file")),
        _ => {
            panic!(
                "STORES has `{name}`: expected some of `etcd-1`, `etcd-3`, `redis`, `postgres`, `mysql`, `zookeeper`, `file`, `kubernetes`"
            )
        }
    }
}

impl Contestant {
    /// Of all but mutexes there are ours and Curator's.
    pub(crate) fn takes_part_in(&self, case: &Case) -> bool {
        match case.wants {
            Wants::OwnKeys => case.has_floor || self.name != FLOOR,
            Wants::OneKey => (case.has_floor && self.waits) || self.name != FLOOR,
            // A Lease is a mutex.
            _ => (self.name == OURS && !self.addresses.near.starts_with("kubernetes:")) || self.name == CURATOR,
        }
    }

    /// A locker of [`worker`](crate::worker).
    fn here(name: &'static str, locker: &str, addresses: &Addresses) -> Self {
        let arguments = ["worker", locker].map(str::to_owned).to_vec();
        Self { name, program: std::env::current_exe().unwrap(), arguments, addresses: addresses.clone(), waits: true }
    }

    pub(crate) fn command(&self, is_far: bool) -> Command {
        let mut command = Command::new(&self.program);
        let Addresses { near, far } = &self.addresses;
        command.args(&self.arguments).arg(if is_far { far } else { near });
        command
    }
}
