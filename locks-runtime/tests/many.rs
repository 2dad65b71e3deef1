//! What many locks cost that one process holds at once. A test of its own, since it looks at the memory of the process.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]
#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

use locks_runtime::{Guard, Locks};

/// As many as an optimised build acquires in a second or two.
const HOLDS: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// The memory that this process has allocated and uses, in bytes: without its code, which is read as it is run.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// One after the other: the memory of so many requests at once would hide that of the holds.
async fn hold_all(locks: &Locks, prefix: &str, count: usize) -> Vec<Guard> {
    let mut guards = Vec::with_capacity(count);
    for number in 0..count {
        guards.push(locks.lock(format!("/{prefix}/{number:06}")).acquire().await.unwrap());
    }
    guards
}

/// They are watched for their removal, too, which begins with the second renewal.
#[tokio::test]
async fn a_hold_takes_under_three_kilobytes_and_so_many_are_renewed_in_time() {
    const TTL: std::time::Duration = std::time::Duration::from_secs(6);
    let locks = Locks::connect("memory:many?ttl=6s").unwrap();
    hold_all(&locks, "warm", 10).await;
    let before = resident();
    let guards = hold_all(&locks, "held", HOLDS).await;
    let at_once = (resident() - before) / HOLDS;
    tokio::time::sleep(TTL).await;
    let watched = (resident() - before) / HOLDS;
    println!("bytes per hold: {at_once}, and {watched} once it is watched");
    // 2,743 were seen, 912 of them for the watch.
    assert!(watched <= 2_800, "{at_once}, {watched}");
    assert!(guards.iter().all(Guard::is_held), "a renewal of so many came too late");
    for guard in guards {
        guard.release().await.unwrap();
    }
    assert!(locks.list("").await.unwrap().is_empty());
    locks.close().await;
}
