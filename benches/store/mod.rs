//! The stores: their servers, the contestants on each, and what the servers count.

use crate::settings::Settings;
use std::path::PathBuf;
use std::process::Command;

mod etcd;
mod file;
mod postgres;
mod redis;

/// The contestant with the fewest requests.
pub(crate) const FLOOR: &str = "floor";
/// The contestant with the attribute.
pub(crate) const OURS: &str = "ours";

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
    /// What the server has counted until now, for this contestant. Owns the server.
    pub(crate) count: Box<dyn Fn(&Contestant) -> Counts>,
}

/// A program to be measured, which takes these arguments and then those of [`worker`](crate::worker).
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
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
    // The first build of the Go program takes longer than a trial.
    let with_go = !settings.is_trial;
    match name {
        "etcd-1" => etcd::start("etcd, one node", 1, with_go),
        "etcd-3" => etcd::start("etcd, three nodes", 3, with_go),
        "redis" => redis::start("Redis"),
        "postgres" => postgres::start("PostgreSQL"),
        "file" => Ok(file::start("file")),
        _ => panic!("STORES has `{name}`: expected some of `etcd-1`, `etcd-3`, `redis`, `postgres`, `file`"),
    }
}

impl Contestant {
    /// A locker of [`worker`](crate::worker), for this address.
    fn here(name: &'static str, locker: &str, address: &str) -> Self {
        let arguments = ["worker", locker, address].map(str::to_owned).to_vec();
        Self { name, program: std::env::current_exe().unwrap(), arguments }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
