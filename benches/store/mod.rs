//! What locks are kept in: its server, who is measured on it, and what it counts.

use crate::effort::Effort;
use std::path::PathBuf;
use std::process::Command;

mod etcd;
mod file;
mod redis;

/// The name of the bare requests.
pub(crate) const FLOOR: &str = "floor";
/// The name of this crate.
pub(crate) const OURS: &str = "ours";

/// A store that runs for as long as this value lives.
pub(crate) struct Store {
    /// For headings, as in "etcd, one node".
    pub(crate) name: &'static str,
    /// With versions and settings.
    pub(crate) title: String,
    /// Where `Locks::connect` finds it.
    pub(crate) url: String,
    /// The floor first, ours second.
    pub(crate) contestants: Vec<Who>,
    /// Peers that are not there, each with why.
    pub(crate) missing: Vec<String>,
    /// The names of requests and of the server's own work; none where nothing is counted.
    pub(crate) units: Option<[&'static str; 2]>,
    /// What was counted so far while this one was measured. It owns the server.
    pub(crate) count: Box<dyn Fn(&Who) -> Counts>,
}

/// Who is measured: a program that takes these arguments and then those of [`worker`](crate::worker).
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// What the server counted: of all members together, but its work of one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests, and messages on streams.
    pub(crate) requests: u64,
    /// Entries in the raft log; commands carried out, also those in scripts.
    pub(crate) work: u64,
    /// Leases granted.
    pub(crate) leases: u64,
    /// Requests that keep alive what is held.
    pub(crate) renewals: u64,
}

/// Starts a store, or tells what is missing.
pub(crate) fn start(name: &str, effort: &Effort) -> Result<Store, String> {
    // To build the Go program for the first time takes longer than a trial.
    let with_go = !effort.is_trial;
    match name {
        "etcd-1" => etcd::start("etcd, one node", 1, with_go),
        "etcd-3" => etcd::start("etcd, three nodes", 3, with_go),
        "redis" => redis::start("Redis"),
        "file" => Ok(file::start("file")),
        _ => panic!("STORES has {name}; there are etcd-1, etcd-3, redis, file"),
    }
}

impl Who {
    /// A locker of [`worker`](crate::worker), at this address.
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
