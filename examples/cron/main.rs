//! Use this when the same schedule runs on several machines, so that the jobs survive one of them, and yet each tick
//! must run once.
//!
//! ```sh
//! cargo run --example cron        # this machine only, locks in a temporary directory
//! LOCKS_URL=redis://127.0.0.1:6379 cargo run --example cron --features etcd,redis,zookeeper,postgres
//! ```
//!
//! Built with those features it runs on each store by its URL alone: `etcd://127.0.0.1:2379`,
//! `zookeeper://127.0.0.1:2181`, `postgres://user:password@127.0.0.1/database`.
//!
//! The program starts three copies of itself. All of them have the whole schedule and try every tick; the lock decides.
//! This file is what you would write yourself; `stage.rs` starts the copies and checks what they did.

#![expect(clippy::disallowed_methods, reason = "a schedule needs the wall clock")]

mod stage;

use distributed_locks::{ErrorKind, Guard, distributed_lock};
use stage::{Outcome, Worker};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// How long a tick belongs to the worker that got it, even if the job is done sooner: shorter than every period, and
/// longer than workers are late and their clocks differ, together.
const TICK_KEPT: Duration = Duration::from_millis(800);

/// Done in no time. Without `hold_at_least` the worker that comes 60 ms later would find the lock free and do it again.
#[distributed_lock(key = "/cron/lock/heartbeat", wait = 0, hold_at_least = TICK_KEPT, guard = lock)]
async fn heartbeat(tick: &Tick<'_>) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(20)).await
}

/// One lock for each region: two regions do not wait for each other.
#[distributed_lock(key = "/cron/lock/report/<region>", wait = 0, hold_at_least = TICK_KEPT, guard = lock)]
async fn report(tick: &Tick<'_>, region: &str) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(300)).await
}

/// Takes longer than its period. The tick that comes meanwhile is left out; runs never overlap or pile up.
#[distributed_lock(key = "/cron/lock/backup", ttl = 5, wait = 0, hold_at_least = TICK_KEPT, guard = lock)]
async fn backup(tick: &Tick<'_>) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(2600)).await
}

/// The schedule, as every worker has it.
async fn work(worker: &Worker) -> Result<(), Box<dyn Error>> {
    tokio::try_join!(
        every(1, "heartbeat", worker, async |tick| heartbeat(tick).await),
        every(2, "report-eu", worker, async |tick| report(tick, "eu").await),
        every(2, "report-us", worker, async |tick| report(tick, "us").await),
        every(2, "backup", worker, async |tick| backup(tick).await),
    )?;
    Ok(())
}

/// Tries every tick of a job.
async fn every(
    seconds: u64,
    job: &'static str,
    worker: &Worker,
    locked: impl AsyncFn(&Tick<'_>) -> Result<Outcome, distributed_locks::Error>,
) -> Result<(), Box<dyn Error>> {
    for number in 0.. {
        let due = worker.start + Duration::from_secs(seconds) * number;
        if due >= worker.end {
            break;
        }
        tokio::time::sleep(worker.until(due, number)).await;
        let tick = Tick { job, number, due, worker };
        if tick.is_late() {
            worker.note(job, number, &Outcome::Late)?;
            continue;
        }
        match locked(&tick).await {
            Ok(outcome) => worker.note(job, number, &outcome)?,
            Err(error) if error.kind() == ErrorKind::Busy => worker.note(job, number, &Outcome::Busy)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One moment of a job's schedule.
struct Tick<'a> {
    job: &'static str,
    number: u32,
    due: SystemTime,
    worker: &'a Worker,
}

impl Tick<'_> {
    /// So late that another worker may have had this tick, and kept it long enough. Half is for clocks that differ.
    fn is_late(&self) -> bool {
        SystemTime::now() >= self.due + TICK_KEPT / 2
    }

    /// The job itself: here, to say so and to sleep.
    async fn run(&self, lock: &Guard, takes: Duration) -> Result<Outcome, distributed_locks::Error> {
        // Once more: only under the lock it says that nobody had the tick before.
        if self.is_late() {
            return Ok(Outcome::Late);
        }
        let began = SystemTime::now();
        self.worker.say(self.job, self.number);
        tokio::time::sleep(takes).await;
        Ok(Outcome::Ran { fence: lock.fence(), began, ended: SystemTime::now() })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Worker::from_arguments() {
        // The client comes from LOCKS_URL, at the first use of a lock.
        Some(worker) => work(&worker).await,
        None => stage::direct(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => stage::fail(error.as_ref()),
    }
}
