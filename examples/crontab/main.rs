//! Use this, or a program that you derive from it, when jobs are data: a crontab in etcd, served by any number of workers on
//! any number of machines. Each tick of a job runs on one of them; when a worker dies, the others run its jobs.
//!
//! ```sh
//! export LOCKS_URL=etcd://127.0.0.1:2379
//! alias crontab='cargo run -q --example crontab --features etcd --'
//! crontab add hello '*/5 * * * * *' 'echo hello; sleep 3'       # seconds are optional, times are UTC
//! crontab worker                                                # in as many terminals as you like
//! crontab list
//! etcdctl get --prefix /cron/lock                               # while a job runs: its holder
//! ```
//!
//! Stop a worker by Ctrl-C or SIGTERM: it begins no more ticks, and lets its commands end for five seconds.
//!
//! Jobs are stored under `/cron/jobs/<name>`, their locks under `/cron/lock/<name>`. Kill a worker with `kill -9`: its commands
//! end with it, and when its locks have lapsed (after the TTL and a little more), other workers run its jobs at the next tick.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod command;
mod job;

use distributed_locks::Locks;
use distributed_locks::etcd_client::{Client, EventType, GetOptions, KeyValue, WatchOptions};
use job::Job;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::JoinSet;

const JOBS: &str = "/cron/jobs/";
/// How long the commands of a worker have to end after a signal.
const GRACE: Duration = Duration::from_secs(5);

const USAGE: &str = "usage: crontab add NAME SCHEDULE COMMAND | remove NAME | list | worker";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crontab: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    // The client that the attribute uses, too: that of LOCKS_URL.
    let locks = distributed_locks::client()?;
    let mut etcd = locks.etcd_client().await?;
    match arguments {
        ["add", name, schedule, command] => {
            let job = Job::new(name, schedule, command)?;
            etcd.put(format!("{JOBS}{name}"), job.value(), None).await?;
        }
        ["remove", name] => {
            etcd.delete(format!("{JOBS}{name}"), None).await?;
        }
        ["list"] => list(&mut etcd, &locks).await?,
        ["worker"] => {
            // Commands that run may end meanwhile; those that do not are killed, and the locks are free at once.
            let stopped = locks.drain_on_signal(GRACE);
            tokio::select! {
                () = run_worker(&mut etcd) => {}
                drained = stopped => println!("worker {} stopped: {}", std::process::id(), drained?),
            }
        }
        _ => return Err(USAGE.into()),
    }
    locks.close().await;
    Ok(())
}

async fn list(etcd: &mut Client, locks: &Locks) -> Result<(), Box<dyn Error>> {
    for kv in etcd.get(JOBS, Some(GetOptions::new().with_prefix())).await?.kvs() {
        let Some(job) = job_of(kv) else { continue };
        let line = locks.inspect(job.lock()).await?;
        let holder = line.and_then(|line| line.holders.into_iter().next());
        let now =
            holder.map_or_else(|| "idle".to_owned(), |holder| format!("in process {} on {}", holder.pid, holder.host));
        println!("{:<16}{:<20}{:<28}{}", job.name, job.schedule(), now, job.command);
    }
    Ok(())
}

/// Follows the crontab for ever, also when etcd is restarted.
async fn run_worker(etcd: &mut Client) {
    println!("worker {}", std::process::id());
    let mut running = BTreeMap::new();
    loop {
        let Err(error) = follow(etcd, &mut running).await else { continue };
        eprintln!("crontab: cannot follow changes, will retry: {error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The jobs that this worker has scheduled. Dropping a `JoinSet` aborts its task.
type Running = BTreeMap<Vec<u8>, JoinSet<()>>;

/// Schedules all jobs as of one revision, and then follows every change after it.
async fn follow(etcd: &mut Client, running: &mut Running) -> Result<(), Box<dyn Error>> {
    let all = etcd.get(JOBS, Some(GetOptions::new().with_prefix())).await?;
    let revision = all.header().map_or(0, |header| header.revision());
    running.clear();
    all.kvs().iter().for_each(|kv| schedule(kv, running));

    let from_here = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
    let mut changes = etcd.watch(JOBS, Some(from_here)).await?;
    while let Some(change) = changes.message().await? {
        if change.canceled() {
            break;
        }
        for event in change.events() {
            match (event.event_type(), event.kv()) {
                (EventType::Put, Some(kv)) => schedule(kv, running),
                (EventType::Delete, Some(kv)) => drop(running.remove(kv.key())),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Schedules a job, in place of its previous version.
fn schedule(kv: &KeyValue, running: &mut Running) {
    running.remove(kv.key());
    if let Some(job) = job_of(kv) {
        let mut task = JoinSet::new();
        task.spawn(job.run_for_ever());
        running.insert(kv.key().to_vec(), task);
    }
}

/// The job that is stored there. One that cannot be parsed must not stop the others.
fn job_of(kv: &KeyValue) -> Option<Job> {
    let (key, value) = (String::from_utf8_lossy(kv.key()), String::from_utf8_lossy(kv.value()));
    Job::from_value(key.trim_start_matches(JOBS), &value)
        .inspect_err(|error| eprintln!("crontab: {key} is skipped: {error}"))
        .ok()
}
