//! The stores of one machine beside what they are made of: `tokio::sync::Mutex` and `flock`.

use crate::report::median;
use locks::{Error, Locks, distributed_lock};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: usize = 7;
const PAIRS: u32 = 20_000;
const TASKS: u32 = 32;

#[distributed_lock(key = "bench", client = locks)]
async fn locked(locks: &Locks) -> Result<(), Error> {
    Ok(())
}

pub(crate) fn print() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let memory = Locks::connect("memory:bench").unwrap();
        let file = Locks::connect(format!("file://{}", directory.path().display())).unwrap();
        let bare = Arc::new(tokio::sync::Mutex::new(()));
        let path = directory.path().join("bare");
        let mut nanos: [Vec<f64>; 7] = Default::default();
        for _ in 0..ROUNDS {
            nanos[0].push(pairs(async || drop(bare.lock().await)).await);
            nanos[1].push(pairs(async || locked(&memory).await.unwrap()).await);
            nanos[2].push(pairs(async || open_and_flock(&path)).await);
            nanos[3].push(pairs(async || locked(&file).await.unwrap()).await);
            let mutex = Arc::clone(&bare);
            nanos[4].push(
                crowd(move || {
                    let mutex = Arc::clone(&mutex);
                    async move { drop(mutex.lock().await) }
                })
                .await,
            );
            for (at, locks) in [(5, &memory), (6, &file)] {
                let locks = locks.clone();
                nanos[at].push(
                    crowd(move || {
                        let locks = locks.clone();
                        async move { locked(&locks).await.unwrap() }
                    })
                    .await,
                );
            }
        }
        let names = [
            "tokio::sync::Mutex, pair",
            "memory, attribute, pair",
            "open and flock, pair",
            "file, attribute, pair",
            "tokio::sync::Mutex, 32 tasks",
            "memory, attribute, 32 tasks",
            "file, attribute, 32 tasks",
        ];
        println!("\nOn one machine, nanoseconds for each hold, medians of {ROUNDS} rounds\n");
        for (name, nanos) in names.iter().zip(nanos) {
            println!("| {name:<30} | {:>9.0} |", median(nanos));
        }
    });
}

fn open_and_flock(path: &std::path::Path) {
    let file = File::create(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    flock(&file, FlockOperation::Unlock).unwrap();
}

async fn pairs(pair: impl AsyncFn()) -> f64 {
    let begun = Instant::now();
    for _ in 0..PAIRS {
        pair().await;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
}

async fn crowd<F: Future<Output = ()> + Send + 'static>(pair: impl Fn() -> F + Clone + Send + 'static) -> f64 {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let pair = pair.clone();
        tasks.spawn(async move {
            for _ in 0..PAIRS / TASKS {
                pair().await;
            }
        });
    }
    tasks.join_all().await;
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
}
