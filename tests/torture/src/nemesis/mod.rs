//! Injects the faults of a schedule.
//!
//! - [`schedule`]: which fault begins when, by the seed
//! - [`fault`]: all faults; [`workers`]: those of the workers and of their network, which every store has
//! - [`store`]: the store of the run; [`etcd`] and so on: each store's faults, and who looks into it
//! - [`observer`]: what appears and disappears in the store
//! - `lasting`: what some of these faults have in common; [`log`]: the faults in the history

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::history::EventKind;
use crate::workers::{WORKERS, Workers};

pub mod etcd;
pub mod fault;
pub mod file;
pub mod kubernetes;
mod lasting;
pub mod log;
pub mod members;
pub mod mysql;
pub mod observer;
pub mod postgres;
pub mod redis;
pub mod schedule;
pub mod store;
pub mod workers;
pub mod zookeeper;

pub use fault::Fault;
use log::FaultLog;
use schedule::{Schedule, Step};
use store::Store;

/// What faults are injected into.
#[derive(Debug)]
pub struct Targets {
    /// The store.
    pub store: Arc<Store>,
    /// The workers.
    pub workers: Workers,
    /// Where faults are recorded.
    pub log: FaultLog,
}

/// Injects all faults of the schedule, and returns when the last one is over. Of a track whose faults take longer than
/// planned, as they do on a busy machine, the rest comes later, and what would come too late does not.
pub async fn inject_all(targets: Arc<Targets>, schedule: Schedule) {
    let start = Instant::now();
    let tracks = schedule.0.into_iter().map(|track| {
        let targets = targets.clone();
        tokio::spawn(async move {
            let until = track.iter().map(|step| step.at + step.length).max();
            let mut put_off = Duration::ZERO;
            for step in track {
                put_off = step.put_off(put_off, start.elapsed());
                if Some(step.at + step.length + put_off) > until {
                    return;
                }
                sleep_until(start + step.at + put_off).await;
                targets.inject(step).await;
            }
        })
    });
    for track in tracks.collect::<Vec<_>>() {
        // A panic of a track is a bug of the torture.
        if let Err(ended) = track.await {
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
            self.workers.kill(worker);
            self.log.0.record(EventKind::WorkerDied { process: self.workers.name(worker) });
        }
    }
}
