//! What to measure, and for how long.

use std::env;
use std::time::Duration;

/// The settings of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) stores: Vec<String>,
    /// Whether to put the result into the documentation.
    pub(crate) keep: bool,
    /// Whether it only has to work, for `cargo test`.
    pub(crate) is_trial: bool,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let stores = variable("STORES", "etcd-1,etcd-3,redis,postgres,file").split(',').map(str::to_owned).collect();
        let rounds = variable("ROUNDS", "5").parse().expect("ROUNDS must be a number");
        Self { rounds, stores, keep: env::var_os("KEEP").is_some(), is_trial: false }
    }

    pub(crate) fn trial() -> Self {
        Self {
            rounds: 1,
            stores: ["etcd-1", "redis", "postgres", "file"].map(str::to_owned).to_vec(),
            keep: false,
            is_trial: true,
        }
    }

    /// `whole`, or a twentieth of it for a trial.
    pub(crate) fn length(&self, whole: Duration) -> Duration {
        whole / if self.is_trial { 20 } else { 1 }
    }

    /// `whole`, or a hundredth of it for a trial.
    pub(crate) fn count(&self, whole: u32) -> u32 {
        whole / if self.is_trial { 100 } else { 1 }
    }
}
