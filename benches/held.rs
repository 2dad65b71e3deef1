//! What 10,000 held locks cost while nothing happens.

use locks::Locks;
use std::process::Command;
use std::time::{Duration, Instant};
use support::child::Child;
use support::etcd::{Cluster, Metrics};

const HELD: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(20);

/// The process that holds: `held ENDPOINTS`. It says what it costs by its own account.
pub(crate) fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let locks = Locks::connect(format!("etcd://{}?ttl=10s", arguments[0])).unwrap();
        locks.lock("/bench/warm").acquire().await.unwrap().release().await.unwrap();
        let before = resident();
        let mut holding = tokio::task::JoinSet::new();
        for number in 0..HELD {
            let lock = locks.lock(format!("/bench/held/{number}"));
            holding.spawn(async move { lock.acquire().await.unwrap() });
        }
        let guards = holding.join_all().await;
        // Until the watches of their entries stand.
        tokio::time::sleep(Duration::from_secs(5)).await;
        println!("memory {}", resident().saturating_sub(before));
        let (begun, busy) = (Instant::now(), processor());
        tokio::time::sleep(WATCHED).await;
        println!("processor {}", (processor() - busy).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0);
        assert!(guards.iter().all(locks::Guard::is_held));
    });
}

pub(crate) fn print(cluster: &Cluster) {
    let endpoints: Vec<String> = cluster.members().iter().map(support::etcd::Etcd::endpoint).collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let leases = leases(&all(cluster));
    let mut child = Child::start(command.args(["held", &endpoints.join(",")]));
    let memory: u64 = child.expect_line("memory", Duration::from_secs(120)).parse().unwrap();
    let (before, begun) = (all(cluster), Instant::now());
    let processor: f64 = child.expect_line("processor", WATCHED + Duration::from_secs(20)).parse().unwrap();
    let (after, lasted) = (all(cluster), begun.elapsed());
    let keepalives = |metrics: &[Metrics]| metrics.iter().map(|one| one.messages("LeaseKeepAlive")).sum::<u64>();
    let proposals = after[0].proposals() - before[0].proposals();
    println!(
        "\n{HELD} locks held: {} lease(s), {} keepalives and {proposals} raft entries in {:.0} s, {processor:.2} % of a processor, {:.1} MB",
        self::leases(&before) - leases,
        keepalives(&after) - keepalives(&before),
        lasted.as_secs_f64(),
        Duration::from_micros(memory).as_secs_f64(),
    );
}

fn all(cluster: &Cluster) -> Vec<Metrics> {
    cluster.members().iter().map(support::etcd::Etcd::metrics).collect()
}

fn leases(metrics: &[Metrics]) -> u64 {
    metrics[0].count("etcd_debugging_lease_granted_total", &[])
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
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses: user and system time are the fields 14 and 15.
    let ticks: u64 = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}
