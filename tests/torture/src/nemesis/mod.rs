//! Injects the faults of a schedule.
//!
//! - [`schedule`]: which fault begins when, by the seed
//! - [`fault`]: all faults; [`workers`]: those of the workers and of their network, which every store has
//! - [`store`]: the store of the run; [`etcd`] and so on: each store's faults, and who looks into it
//! - [`log`]: the faults in the history

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::history::EventKind;
use crate::workers::{WORKERS, Workers};

pub mod etcd;
pub mod fault;
pub mod log;
pub mod schedule;
pub mod store;
pub mod workers;

pub use fault::Fault;
use log::FaultLog;
use schedule::{Schedule, Step};
use store::Store;

/// What faults are injected into.
#[derive(Debug)]
pub struct Targets {
    /// The store.
    pub store: Store,
    /// The workers.
    pub workers: Workers,
    /// Where faults are recorded.
    pub log: FaultLog,
}

/// Injects all faults of the schedule, and returns when the last one is over.
pub async fn inject_all(targets: Arc<Targets>, schedule: Schedule) {
    let start = Instant::now();
    // Dropped with this future, they inject no more.
    let mut tracks = JoinSet::new();
    for track in schedule.0 {
        let targets = targets.clone();
        tracks.spawn(async move {
            for step in track {
                sleep_until(start + step.at).await;
                targets.inject(step).await;
            }
        });
    }
    while let Some(track) = tracks.join_next().await {
        // A panic of a track is a bug of the torture.
        if let Err(ended) = track
            && ended.is_panic()
        {
            std::panic::resume_unwind(ended.into_panic());
        }
    }
}

impl Targets {
    async fn inject(&self, step: Step) {
        let Step { length, fault, .. } = step;
        match fault {
            Fault::Worker(fault) => workers::inject(fault, length, &self.workers, &self.store, &self.log).await,
            fault => self.store.inject(fault, length, &self.log).await,
        }
    }

    /// Kills the processes of all workers.
    pub fn kill_workers(&self) {
        for worker in 0..WORKERS {
            self.workers.with(worker, |child| child.kill());
            self.log.0.record(EventKind::WorkerDied { process: self.workers.name(worker) });
        }
    }
}
