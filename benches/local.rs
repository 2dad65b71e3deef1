//! Stores without a network or a server: what the attribute itself costs.

use crate::report::median;
use crate::settings::Settings;
use distributed_locks::{Error, Locks, distributed_lock};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
const HOLDS: u32 = 20_000;
const TASKS: u32 = 32;

/// One way to lock, and what it is compared with.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) name: &'static str,
    /// Nanoseconds per hold, in each round.
    pub(crate) nanos: Vec<f64>,
    /// The same for what it is compared with, if there is such.
    pub(crate) floor: Option<Vec<f64>>,
}

impl Local {
    pub(crate) fn median(&self) -> f64 {
        median(self.nanos.clone())
    }

    /// The overhead over the floor of the same round.
    pub(crate) fn overhead(&self) -> Option<f64> {
        let pairs = self.nanos.iter().zip(self.floor.as_ref()?);
        Some(median(pairs.map(|(nanos, floor)| nanos - floor).collect()))
    }
}

/// The case that shows the attribute's own cost.
const ATTRIBUTE: &str = "`memory:`, the attribute";

#[distributed_lock(key = "bench", client = locks)]
async fn locked(locks: &Locks) -> Result<(), Error> {
    Ok(())
}

pub(crate) fn measure(settings: &Settings) -> Vec<Local> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let memory = Locks::connect("memory:bench").unwrap();
        let file = Locks::connect(format!("file://{}/ours", directory.path().display())).unwrap();
        let (mutex, path) = (Arc::new(Mutex::new(())), directory.path().join("bare"));
        let holds = settings.count(HOLDS);
        let mut nanos: [Vec<f64>; 8] = Default::default();
        for _ in 0..ROUNDS {
            nanos[0].push(pairs(holds, async || drop(mutex.lock().await)).await);
            nanos[1].push(pairs(holds, async || locked(&memory).await.unwrap()).await);
            nanos[2].push(pairs(holds, async || by_hand(&memory).await).await);
            nanos[3].push(pairs(holds, async || open_and_flock(&path)).await);
            nanos[4].push(pairs(holds, async || locked(&file).await.unwrap()).await);
            nanos[5].push(contended(holds, &mutex, |mutex| async move { drop(mutex.lock().await) }).await);
            nanos[6].push(contended(holds, &memory, |locks| async move { locked(&locks).await.unwrap() }).await);
            nanos[7].push(contended(holds, &file, |locks| async move { locked(&locks).await.unwrap() }).await);
        }
        named(&nanos)
    })
}

/// The names, each with the index of what it is compared with.
fn named(nanos: &[Vec<f64>; 8]) -> Vec<Local> {
    let names = [
        ("`tokio::sync::Mutex`", None),
        (ATTRIBUTE, Some(0)),
        ("`memory:`, by hand", Some(0)),
        ("open and `flock`", None),
        ("`file:`, the attribute", Some(3)),
        ("`tokio::sync::Mutex`, 32 tasks", None),
        ("`memory:`, the attribute, 32 tasks", Some(5)),
        ("`file:`, the attribute, 32 tasks", Some(5)),
    ];
    let local = |(at, (name, floor)): (usize, (&'static str, Option<usize>))| {
        let floor = floor.map(|floor| nanos[floor].clone());
        Local { name, nanos: nanos[at].clone(), floor }
    };
    names.into_iter().enumerate().map(local).collect()
}

async fn by_hand(locks: &Locks) {
    locks.lock("bench").acquire().await.unwrap().release().await.unwrap();
}

fn open_and_flock(path: &Path) {
    let file = File::create(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    flock(&file, FlockOperation::Unlock).unwrap();
}

async fn pairs(holds: u32, pair: impl AsyncFn()) -> f64 {
    let begun = Instant::now();
    for _ in 0..holds {
        pair().await;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(holds)
}

async fn contended<L, F>(holds: u32, lock: &L, pair: impl Fn(L) -> F + Clone + Send + 'static) -> f64
where
    L: Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let each = holds.div_ceil(TASKS);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (lock, pair) = (lock.clone(), pair.clone());
        tasks.spawn(async move {
            for _ in 0..each {
                pair(lock.clone()).await;
            }
        });
    }
    tasks.join_all().await;
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(each * TASKS)
}
