//! The file store between real processes.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use distributed_locks::{ErrorKind, Locks, blocking};
use std::time::{Duration, Instant};
use support::child::{Child, binary};
use support::{HANG_LIMIT, once_within};

struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.path().join("locks").display())
    }

    fn client(&self) -> Locks {
        Locks::connect(self.url()).unwrap()
    }

    fn worker(&self, arguments: &[&str]) -> Child {
        let url = self.url();
        let arguments = arguments.iter().map(|argument| if *argument == "URL" { &url } else { *argument });
        Child::start(binary("worker").args(arguments))
    }
}

/// Its TTL would end in ten minutes.
#[test]
fn a_killed_holder_is_free_at_once() {
    let (store, key) = (Store::new(), "k");
    let mut worker = store.worker(&["hold", "600", "URL", key]);
    worker.next_line("start");
    let locks = store.client();
    let busy = blocking(locks.lock(key).wait(Duration::ZERO).acquire()).unwrap_err();
    assert_eq!((busy.kind(), busy.holder().unwrap().pid), (ErrorKind::Busy, worker.id()));
    worker.kill();
    let guard = blocking(locks.lock(key).wait(HANG_LIMIT).acquire()).unwrap();
    blocking(guard.release()).unwrap();
}

#[test]
fn nothing_is_left_however_the_process_ends() {
    let store = Store::new();
    for how in ["return", "panic", "drop"] {
        let mut worker = store.worker(&["ends", how, "URL", how]);
        worker.next_line("start");
        worker.wait();
        assert_eq!(blocking(store.client().list("")).unwrap(), [], "{how}");
    }
}

/// And not for much longer: one of several rounds shows it, for a busy machine starts a process late.
#[tokio::test]
async fn hold_at_least_survives_kill() {
    const LEAST: Duration = Duration::from_secs(6);
    once_within(Duration::from_secs(1), async || {
        let store = Store::new();
        let begun = Instant::now();
        let mut worker = store.worker(&["least", "URL", "k"]);
        worker.next_line("start");
        worker.kill();
        let guard = store.client().lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
        let free = begun.elapsed();
        assert!(free >= LEAST, "free after {free:?}");
        guard.release().await.unwrap();
        free - LEAST
    })
    .await;
}

#[test]
fn processes_in_turn_exclude_each_other_and_fences_grow() {
    const TURNS: usize = 40;
    let store = Store::new();
    let mut workers: Vec<Child> = (0..4).map(|_| store.worker(&["turns", &TURNS.to_string(), "URL", "k"])).collect();
    let mut turns: Vec<(i128, i128, u64)> = Vec::new();
    for worker in &mut workers {
        for _ in 0..TURNS {
            let line = worker.next_line("turn");
            let numbers: Vec<&str> = line.split(' ').collect();
            turns.push((numbers[0].parse().unwrap(), numbers[1].parse().unwrap(), numbers[2].parse().unwrap()));
        }
    }
    turns.sort_unstable();
    for pair in turns.windows(2) {
        assert!(pair[0].1 < pair[1].0, "two bodies at once: {pair:?}");
        assert!(pair[0].2 < pair[1].2, "a fence that does not grow: {pair:?}");
    }
    let mut gaps: Vec<i128> = turns.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    gaps.sort_unstable();
    println!(
        "hand-off between processes: median {} µs, longest {} µs",
        gaps[gaps.len() / 2] / 1000,
        gaps[gaps.len() - 1] / 1000
    );
}
