//! What 10,000 held locks cost while nothing happens.

use crate::effort::Effort;
use crate::store::{OURS, Store};
use distributed_locks::{Guard, Locks};
use rustix::time::{ClockId, clock_gettime};
use std::process::Command;
use std::time::{Duration, Instant};
use support::child::Child;
use tokio::task::JoinSet;

const HELD: u32 = 10_000;
/// That take them.
const TASKS: u32 = 32;
/// Until the watches of their entries stand.
const SETTLES: Duration = Duration::from_secs(4);
/// A few renewals, one each third of the TTL.
const WATCHED: Duration = Duration::from_secs(10);

/// What they cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) locks: u32,
    pub(crate) leases: u64,
    /// Per second, as `work`.
    pub(crate) renewals: f64,
    pub(crate) work: f64,
    /// Of one core, in percent.
    pub(crate) processor: f64,
    /// By which the process grew.
    pub(crate) megabytes: f64,
    pub(crate) watched: Duration,
}

pub(crate) fn measure(store: &Store, effort: &Effort) -> Held {
    let ours = store.contestants.iter().find(|who| who.name == OURS).unwrap();
    let count = || (store.count)(ours);
    let (locks, watched) = (effort.count(HELD), effort.lasts(WATCHED));
    let mut command = Command::new(std::env::current_exe().unwrap());
    let times = [effort.lasts(SETTLES), watched].map(|time| time.as_millis().to_string());
    let leases = count().leases;
    let mut child = Child::start(command.args(["held", &store.url, &locks.to_string()]).args(times));
    let kilobytes: f64 = child.expect_line("kilobytes", Duration::from_secs(120)).parse().unwrap();
    let (before, begun) = (count(), Instant::now());
    let processor: f64 = child.expect_line("processor", watched + Duration::from_secs(20)).parse().unwrap();
    let (after, lasted) = (count(), begun.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_second = |counted: u64| counted as f64 / lasted.as_secs_f64();
    Held {
        locks,
        leases: before.leases - leases,
        renewals: per_second(after.renewals - before.renewals),
        work: per_second(after.work - before.work),
        processor,
        megabytes: kilobytes / 1000.0,
        watched,
    }
}

/// The process that holds: `held URL LOCKS SETTLES_MS WATCHED_MS`. It says what it costs by its own account.
pub(crate) fn run(arguments: &[String]) {
    let [url, count, settles, watched] = arguments else { panic!("{arguments:?}") };
    let [settles, watched] = [settles, watched].map(|time| Duration::from_millis(time.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let locks = Locks::connect(format!("{url}?ttl=10s")).unwrap();
        locks.lock("/bench/warm").acquire().await.unwrap().release().await.unwrap();
        let before = resident();
        let guards = take_all(&locks, count.parse().unwrap()).await;
        tokio::time::sleep(settles).await;
        println!("kilobytes {}", resident().saturating_sub(before) / 1000);
        let (begun, busy) = (Instant::now(), processor());
        tokio::time::sleep(watched).await;
        println!("processor {}", (processor() - busy).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0);
        assert!(guards.iter().all(Guard::is_held));
    });
}

/// One after the other by a few tasks: the memory of 10,000 requests at once would hide that of what is held.
async fn take_all(locks: &Locks, count: u32) -> Vec<Guard> {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let locks = locks.clone();
        tasks.spawn(async move {
            let mut guards = Vec::new();
            for number in (task..count).step_by(TASKS as usize) {
                guards.push(locks.lock(format!("/bench/held/{number}")).acquire().await.unwrap());
            }
            guards
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or_default();
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Time that the process has used.
fn processor() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap()
}
