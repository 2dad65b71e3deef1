//! What to measure, and for how long.

use crate::case::CASES;
use std::env;
use std::time::Duration;

/// All stores, in the order of the page.
pub(crate) const STORES: &str = "etcd-1,etcd-3,redis,postgres,mysql,zookeeper,kubernetes,file";

/// The section about locks that are only held.
pub(crate) const HELD: &str = "held locks";

/// The settings of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) stores: Vec<String>,
    /// Only what has this in its name.
    case: Option<String>,
    /// How many locks are held at once.
    pub(crate) held: u32,
    /// Whether to put the result into the documentation.
    pub(crate) keep: bool,
    /// Whether it only has to work, for `cargo test`.
    pub(crate) is_trial: bool,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str, default: &str| match env::var(name) {
            Ok(value) if !value.is_empty() => value,
            _ => default.to_owned(),
        };
        Self {
            rounds: variable("ROUNDS", "5").parse().expect("ROUNDS must be a number"),
            stores: variable("STORES", STORES).split(',').map(str::to_owned).collect(),
            case: Some(variable("CASE", "")).filter(|case| !case.is_empty()),
            held: variable("HELD", "100000").parse().expect("HELD must be a number"),
            keep: env::var_os("KEEP").is_some(),
            is_trial: false,
        }
    }

    pub(crate) fn trial() -> Self {
        let stores = ["etcd-1", "redis", "postgres", "mysql", "zookeeper", "file"].map(str::to_owned).to_vec();
        Self { rounds: 1, stores, case: None, held: 100, keep: false, is_trial: true }
    }

    /// Whether the case with this name is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.case.as_ref().is_none_or(|case| name.contains(case.as_str()))
    }

    /// Whether anything is to be measured that needs a store's server.
    pub(crate) fn wants_stores(&self) -> bool {
        self.wants(HELD) || CASES.iter().any(|case| self.wants(case.name))
    }

    /// Whether every case is measured: a page has all of them.
    pub(crate) fn is_whole(&self) -> bool {
        self.case.is_none()
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
