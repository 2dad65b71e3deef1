use super::once_per_tick::once_per_tick;
use distributed_locks::Locks;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_cron_scheduler::{Job, JobSchedulerError};

/// `schedule` has to be what `period` says: `"0 * * * * *"` for a minute.
pub fn job<F>(
    schedule: &str,
    period: Duration,
    locks: Locks,
    work: impl Fn(u64) -> F + Send + Sync + 'static,
) -> Result<Job, JobSchedulerError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let period = period.as_secs().max(1);
    Job::new_async(schedule, move |_, _| {
        // It is not told for which time it runs, and comes up to half a second late: the nearest time of the schedule is meant.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let tick = (now.as_millis() as u64 + period * 500) / (period * 1000) * period;
        let (locks, work) = (locks.clone(), work(tick));
        Box::pin(async move {
            match once_per_tick(&locks, "report", tick, work).await {
                Ok(Some(())) => {}
                Ok(None) => {} // another machine has it
                Err(error) => eprintln!("report: {error}"),
            }
        })
    })
}
