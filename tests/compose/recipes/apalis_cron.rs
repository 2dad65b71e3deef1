use super::once_per_tick::once_per_tick;
use apalis::prelude::*;
use apalis_cron::{CronScheduler, Tick};
use cron::Schedule;
use distributed_locks::Locks;

/// Each machine runs this, with the same schedule: `"0 * * * * *"` for each minute.
pub async fn serve(name: &str, schedule: Schedule, locks: Locks, report: Report) -> Result<(), BoxDynError> {
    let worker = WorkerBuilder::new(name).backend(CronScheduler::new(schedule)).data(locks).data(report);
    Ok(worker.build(at).run().await?)
}

/// apalis tells for which time it runs.
async fn at(tick: Tick, locks: Data<Locks>, report: Data<Report>) -> Result<(), BoxDynError> {
    let tick = tick.get_timestamp();
    // `None` if another machine has it.
    once_per_tick(&locks, "report", tick, report.send(tick)).await?;
    Ok(())
}

/// What the job needs.
#[derive(Clone)]
pub struct Report {
    pub sent: tokio::sync::mpsc::UnboundedSender<u64>,
}

impl Report {
    async fn send(&self, tick: u64) {
        let _ = self.sent.send(tick); // … the report …
    }
}
