//! A process that calls locked functions until it is told to stop.
//!
//! It is a child of the driver, which speaks to it by lines: `block 2000` blocks the threads of its runtime for so many
//! milliseconds, `stop` lets no new call begin. It ends when the last call has returned.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::history::{Recorder, What};
use crate::lock::handmade::Handmade;
use crate::lock::members::Members;
use crate::lock::ours::Ours;
use crate::lock::{Flaw, Lock};
use crate::register::Writer;

pub mod body;
pub mod stalls;
mod task;

/// Threads of the application's runtime.
const THREADS: usize = 2;

/// What a worker is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Its name in the history.
    pub name: String,
    /// Where its history goes.
    pub history: PathBuf,
    /// What it logs.
    pub log: PathBuf,
    /// The store.
    pub url: String,
    /// The members of an etcd cluster, for a broken lock, and what is wrong with that.
    pub broken: Option<(Flaw, Vec<String>)>,
    /// The locks that it takes.
    pub keys: Vec<String>,
    /// How many tasks take each of them.
    pub tasks: u64,
    /// What it chooses by.
    pub seed: u64,
    /// The fenced register.
    pub register: SocketAddr,
    /// The TTL of the locks, where the URL does not say it.
    pub ttl: Duration,
}

/// What the tasks of a worker share.
struct Worker {
    lock: Arc<dyn Lock>,
    recorder: Arc<Recorder>,
    register: Writer,
    stopping: AtomicBool,
}

/// The whole life of a worker process.
#[must_use]
#[expect(clippy::print_stderr, reason = "its driver shows it")]
pub fn run(orders: &Orders) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let result = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(work(orders)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}: {why}", orders.name);
            ExitCode::FAILURE
        }
    }
}

async fn work(orders: &Orders) -> Result<(), String> {
    let log = std::fs::File::create(&orders.log).map_err(|error| error.to_string())?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(log).init();
    body_panics_are_planned();
    let recorder = Arc::new(Recorder::open(&orders.history, &orders.name).map_err(|error| error.to_string())?);
    let register = Writer::connect(orders.register).map_err(|error| format!("the register: {error}"))?;
    let lock = lock(orders).await?;
    recorder.record(What::Up { pid: std::process::id(), promises: lock.promises() });
    stalls::watch(&recorder);
    let worker = Arc::new(Worker { lock, recorder, register, stopping: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    for key in &orders.keys {
        for number in 0..orders.tasks {
            tasks.spawn(task::run(worker.clone(), key.clone(), orders.seed, format!("{}/{key}/{number}", orders.name)));
        }
    }
    let handle = tokio::runtime::Handle::current();
    std::thread::spawn(move || obey(&worker, &handle));
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn lock(orders: &Orders) -> Result<Arc<dyn Lock>, String> {
    match &orders.broken {
        None => Ok(Arc::new(Ours::connect(&orders.url).map_err(|error| error.to_string())?)),
        Some((flaw, endpoints)) => {
            let members = Members::at(endpoints, orders.ttl / 3).await.map_err(|error| error.to_string())?;
            Ok(Arc::new(Handmade::new(members, orders.ttl, *flaw)))
        }
    }
}

/// What the driver says.
fn obey(worker: &Arc<Worker>, runtime: &tokio::runtime::Handle) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("block", millis)) => {
                let time = Duration::from_millis(millis.parse().unwrap_or(0));
                // As code does that was not written for a runtime: on every thread it has.
                (0..THREADS).for_each(|_| drop(runtime.spawn(async move { std::thread::sleep(time) })));
            }
            _ => worker.stopping.store(true, Ordering::Release),
        }
    }
    // Without a driver there is nothing to work for.
    worker.stopping.store(true, Ordering::Release);
}

fn body_panics_are_planned() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|text| text != body::PLANNED) {
            print(panic);
        }
    }));
}
