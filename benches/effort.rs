//! How much is measured, and for how long.

use std::env;
use std::time::Duration;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) stores: Vec<String>,
    /// Put the result into the documentation.
    pub(crate) keep: bool,
    /// Only to see that it works, for `cargo test`.
    pub(crate) is_trial: bool,
}

impl Effort {
    pub(crate) fn asked_for() -> Self {
        let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let stores = setting("STORES", "etcd-1,etcd-3,redis,file").split(',').map(str::to_owned).collect();
        let rounds = setting("ROUNDS", "5").parse().expect("ROUNDS is a number");
        Self { rounds, stores, keep: env::var_os("KEEP").is_some(), is_trial: false }
    }

    pub(crate) fn trial() -> Self {
        Self { rounds: 1, stores: ["etcd-1", "redis", "file"].map(str::to_owned).to_vec(), keep: false, is_trial: true }
    }

    /// A time that a trial has the twentieth of.
    pub(crate) fn lasts(&self, whole: Duration) -> Duration {
        whole / if self.is_trial { 20 } else { 1 }
    }

    /// A number that a trial has the hundredth of.
    pub(crate) fn count(&self, whole: u32) -> u32 {
        whole / if self.is_trial { 100 } else { 1 }
    }
}
