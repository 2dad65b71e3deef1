use distributed_locks::{Error, ErrorKind, Locks, distributed_lock};

/// Runs `work` for one tick of a job on one machine of all; the others return `None`. `tick` is when it is due, in seconds since
/// 1970: the time in the schedule, which is the same on every machine, and not what a clock shows.
#[distributed_lock(
    key = "/cron/{job}/{tick}",
    client = locks,
    wait = 0,              // the others skip it
    hold_at_least = "30s", // longer than clocks differ
    or = if error.kind() == ErrorKind::Busy { Ok(None) } else { Err(error) },
)]
pub async fn once_per_tick<T>(
    locks: &Locks,
    job: &str,
    tick: u64,
    work: impl Future<Output = T>,
) -> Result<Option<T>, Error> {
    Ok(Some(work.await))
}
