//! Use this when the same schedule runs on several machines, so that it survives the loss of one, but each tick must run
//! only once.
//!
//! ```sh
//! cargo run --example cron        # this machine only, locks in a temporary directory
//! LOCKS_URL=redis://127.0.0.1:6379 cargo run --example cron --features etcd,redis,zookeeper,postgres,mysql,kubernetes
//! ```
//!
//! With those features it runs on any store, by its URL alone: `etcd://127.0.0.1:2379`, `redis://a,b,c/?cluster`,
//! `redis://s1,s2,s3/?sentinel=NAME`, `zookeeper://127.0.0.1:2181`, `postgres://user:password@127.0.0.1/database`,
//! `mysql://user:password@127.0.0.1/database`, and beside `kubectl proxy` `kubernetes://127.0.0.1:8001/namespace?tls=off`.
//!
//! The program starts three copies of itself. All of them have the whole schedule and try every tick; the lock decides.
//! This file is what you would write yourself; `demo.rs` starts the copies, and checks their log.

#![expect(clippy::disallowed_methods, reason = "a schedule needs the wall clock")]

mod demo;

use demo::{Outcome, Worker};
use distributed_locks::{ErrorKind, Guard, distributed_lock};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// By how much the clocks of the workers may differ.
const CLOCKS_DIFFER: Duration = Duration::from_millis(50);

/// Ends almost at once. Without `hold_at_least`, the worker that comes 60 ms later would find the lock free and run it again.
#[distributed_lock(key = "/cron/lock/heartbeat", ttl = 5, wait = 0, hold_at_least = tick.rest(), guard = lock)]
async fn heartbeat(tick: &Tick<'_>) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(20)).await
}

/// One lock for each region: two regions do not wait for each other.
#[distributed_lock(key = "/cron/lock/report/<region>", ttl = 5, wait = 0, hold_at_least = tick.rest(), guard = lock)]
async fn report(tick: &Tick<'_>, region: &str) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(300)).await
}

/// Takes longer than its period. A tick that comes meanwhile begins late or is skipped: runs never overlap or pile up.
#[distributed_lock(key = "/cron/lock/backup", ttl = 5, wait = 0, hold_at_least = tick.rest(), guard = lock)]
async fn backup(tick: &Tick<'_>) -> Result<Outcome, distributed_locks::Error> {
    tick.run(lock, Duration::from_millis(2600)).await
}

/// The first lock of a process connects, opens a session and, on PostgreSQL, creates the table. Done before the schedule
/// begins, that delays no tick.
#[distributed_lock(key = "/cron/warm-up/<worker>", ttl = 5)]
async fn warm_up(worker: u32) -> Result<(), distributed_locks::Error> {
    Ok(())
}

/// The schedule, as every worker has it.
async fn work(mut worker: Worker) -> Result<(), Box<dyn Error>> {
    warm_up(worker.number).await?;
    worker.wait_for_the_others()?;
    let worker = &worker;
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
    let period = Duration::from_secs(seconds);
    for number in 0.. {
        let due = worker.start + period * number;
        if due >= worker.end() {
            break;
        }
        tokio::time::sleep(worker.until(due, number)).await;
        let tick = Tick { job, number, due, period, worker };
        if tick.is_late() {
            worker.record(job, number, &Outcome::Late)?;
            continue;
        }
        match locked(&tick).await {
            Ok(outcome) => worker.record(job, number, &outcome)?,
            Err(error) if error.kind() == ErrorKind::Busy => worker.record(job, number, &Outcome::Taken)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One time of a job's schedule.
struct Tick<'a> {
    job: &'static str,
    number: u32,
    due: SystemTime,
    period: Duration,
    worker: &'a Worker,
}

impl Tick<'_> {
    /// Until when the lock stays taken, even if the job ends sooner. The last quarter of the period is for the store's answers:
    /// a lock that is still taken at the next tick costs that tick.
    fn taken_until(&self) -> SystemTime {
        self.due + self.period * 3 / 4
    }

    /// What is left of that time. A worker that comes late holds the lock for less, so that the next tick finds it free.
    fn rest(&self) -> Duration {
        self.taken_until().duration_since(SystemTime::now()).unwrap_or_default().max(Duration::from_millis(1))
    }

    /// Whether it is so late that another worker may have run this tick, and released its lock since.
    fn is_late(&self) -> bool {
        SystemTime::now() + CLOCKS_DIFFER >= self.taken_until()
    }

    /// The job itself, which here only prints a line and sleeps.
    async fn run(&self, lock: &Guard, takes: Duration) -> Result<Outcome, distributed_locks::Error> {
        // Again: only under the lock it proves that no other worker has run the tick.
        if self.is_late() {
            return Ok(Outcome::Late);
        }
        let began = SystemTime::now();
        self.worker.print(self.job, self.number);
        tokio::time::sleep(takes).await;
        Ok(Outcome::Ran { fence: lock.fence(), began, ended: SystemTime::now() })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Worker::from_arguments() {
        // The client comes from LOCKS_URL, at the first use of a lock.
        Some(worker) => work(worker).await,
        None => demo::run_workers(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => demo::print_error(error.as_ref()),
    }
}
