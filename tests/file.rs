//! The file store between real processes.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use distributed_locks::{ErrorKind, Locks, blocking};
use std::time::{Duration, Instant};
use support::child::{Child, binary};

const SOON: Duration = Duration::from_secs(10);

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

#[test]
fn a_killed_holder_is_free_at_once() {
    let (store, key) = (Store::new(), "k");
    let mut worker = store.worker(&["hold", "60", "URL", key]);
    worker.expect_line("start", SOON);
    let locks = store.client();
    let busy = blocking(locks.lock(key).wait(Duration::ZERO).acquire()).unwrap_err();
    assert_eq!((busy.kind(), busy.holder().unwrap().pid), (ErrorKind::Busy, worker.id()));
    let killed = Instant::now();
    worker.kill();
    let guard = blocking(locks.lock(key).wait(SOON).acquire()).unwrap();
    assert!(
        killed.elapsed() < Duration::from_millis(500),
        "{:?} for a lock that is polled every 5 ms",
        killed.elapsed()
    );
    blocking(guard.release()).unwrap();
}

#[test]
fn nothing_is_left_however_the_process_ends() {
    let store = Store::new();
    for how in ["return", "panic", "drop"] {
        let mut worker = store.worker(&["ends", how, "URL", how]);
        worker.expect_line("start", SOON);
        worker.wait(SOON);
        assert_eq!(blocking(store.client().list("")).unwrap(), [], "{how}");
    }
}

#[test]
fn hold_at_least_survives_kill() {
    let store = Store::new();
    let begun = Instant::now();
    let mut worker = store.worker(&["least", "URL", "k"]);
    worker.expect_line("start", SOON);
    worker.kill();
    let guard = blocking(store.client().lock("k").wait(SOON).acquire()).unwrap();
    let free = begun.elapsed();
    assert!(free >= Duration::from_secs(6) && free < Duration::from_secs(7), "free after {free:?}, at least 6 s");
    blocking(guard.release()).unwrap();
}

#[test]
fn processes_take_turns_and_fences_grow() {
    const TURNS: usize = 40;
    let store = Store::new();
    let mut workers: Vec<Child> = (0..4).map(|_| store.worker(&["turns", &TURNS.to_string(), "URL", "k"])).collect();
    let mut turns: Vec<(i128, i128, u64)> = Vec::new();
    for worker in &mut workers {
        for _ in 0..TURNS {
            let line = worker.expect_line("turn", Duration::from_secs(30));
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
