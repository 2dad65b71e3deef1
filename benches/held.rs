//! What many held locks cost when nothing else happens.

use crate::settings::Settings;
use crate::store::{OURS, Store};
use distributed_locks::{Guard, Locks};
use rustix::time::{ClockId, clock_gettime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};
use support::child::Child;
use support::with_parameters;
use tokio::task::JoinSet;

/// How many tasks acquire them.
const TASKS: u32 = 128;
/// Until their entries are watched.
const SETTLE: Duration = Duration::from_secs(4);
/// Enough for a few renewals, which come every third of the TTL.
const OBSERVE: Duration = Duration::from_secs(10);

/// How long a process may hang before the benchmark fails.
const HANG_LIMIT: Duration = Duration::from_secs(300);

/// The costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) locks: u32,
    /// How many of them were lost meanwhile.
    pub(crate) lost: u32,
    pub(crate) leases: u64,
    /// Per second.
    pub(crate) renewals: f64,
    /// The server's work, per second.
    pub(crate) work: f64,
    /// The process's, in percent of one core.
    pub(crate) processor: f64,
    /// The server's, in percent of one core.
    pub(crate) server: f64,
    /// By which the memory of the process grew.
    pub(crate) megabytes: f64,
    pub(crate) observed: Duration,
}

/// `None` if the process that was to hold them has failed, which is shown.
pub(crate) fn measure(store: &Store, settings: &Settings) -> Option<Held> {
    eprintln!("{}: {} held locks", store.name, locks(store, settings));
    catch_unwind(AssertUnwindSafe(|| measure_held(store, settings))).ok()
}

fn measure_held(store: &Store, settings: &Settings) -> Held {
    let ours = store.contestants.iter().find(|contestant| contestant.name == OURS).unwrap();
    let count = || (store.count)(ours);
    let (locks, observed) = (locks(store, settings), settings.length(OBSERVE));
    let mut command = Command::new(std::env::current_exe().unwrap());
    let times = [settings.length(SETTLE), observed].map(|time| time.as_millis().to_string());
    let leases = count().leases;
    let mut child = Child::start(command.args(["held", &store.url, &locks.to_string()]).args(times));
    let kilobytes: f64 = child.expect_line("kilobytes", HANG_LIMIT).parse().unwrap();
    let client = child.id();
    let server = || processor_of_children(client);
    let (before, used, begun) = (count(), server(), Instant::now());
    let processor: f64 = child.expect_line("processor", observed + HANG_LIMIT).parse().unwrap();
    let (used, after, elapsed) = (server() - used, count(), begun.elapsed());
    let lost: u32 = child.expect_line("lost", HANG_LIMIT).parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_second = |counted: u64| counted as f64 / elapsed.as_secs_f64();
    Held {
        locks,
        lost,
        leases: before.leases - leases,
        renewals: per_second(after.renewals - before.renewals),
        work: per_second(after.work - before.work),
        processor,
        server: used.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
        megabytes: kilobytes / 1000.0,
        observed,
    }
}

fn locks(store: &Store, settings: &Settings) -> u32 {
    settings.held.min(store.most_held.unwrap_or(u32::MAX))
}

/// The process that holds the locks: `held URL LOCKS SETTLE_MS OBSERVE_MS`. It prints its own memory and processor time.
pub(crate) fn run(arguments: &[String]) {
    let [url, count, settle, observe] = arguments else { panic!("{arguments:?}") };
    let [settle, observe] = [settle, observe].map(|time| Duration::from_millis(time.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let locks = Locks::connect(with_parameters(url, "ttl=10s")).unwrap();
        locks.lock("/bench/warm").acquire().await.unwrap().release().await.unwrap();
        let before = resident();
        let guards = acquire_all(&locks, count.parse().unwrap()).await;
        tokio::time::sleep(settle).await;
        println!("kilobytes {}", resident().saturating_sub(before) / 1000);
        let (begun, used) = (Instant::now(), processor());
        tokio::time::sleep(observe).await;
        println!("processor {}", (processor() - used).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0);
        println!("lost {}", guards.iter().filter(|guard| !guard.is_held()).count());
    });
}

/// One after the other by a few tasks: the memory of all requests at once would hide that of the holds.
async fn acquire_all(locks: &Locks, count: u32) -> Vec<Guard> {
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

/// The resident memory of the process, in bytes.
fn resident() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or_default();
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// The processor time that the servers have used: every process below this one but `client`.
fn processor_of_children(client: u32) -> Duration {
    let processes: Vec<Process> =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| Process::read(&entry)).collect();
    let mut below = vec![std::process::id()];
    let mut used = 0;
    while let Some(parent) = below.pop() {
        for process in processes.iter().filter(|process| process.parent == parent && process.id != client) {
            below.push(process.id);
            used += process.ticks;
        }
    }
    Duration::from_secs(used) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap()
}

struct Process {
    id: u32,
    parent: u32,
    /// Of processor time, those of ended children included.
    ticks: u64,
}

impl Process {
    /// `None` of what has ended meanwhile.
    fn read(entry: &std::fs::DirEntry) -> Option<Self> {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Some(Self { id, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// The processor time that the process has used.
fn processor() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap()
}
