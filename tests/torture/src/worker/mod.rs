//! A process that calls locked functions until it is told to stop.
//!
//! It is a child of the driver, and reads commands from its standard input: `block 2000` blocks the threads of its runtime
//! for so many milliseconds, `outlast 2000` lets long bodies run for as long at least, `stop` or the end of the input lets no new call begin. It ends when the last call has returned.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::clock::{nanos, now};
use crate::history::{EventKind, Recorder};
use crate::lock::members::Members;
use crate::lock::naive::NaiveLock;
use crate::lock::ours::Ours;
use crate::lock::{Flaw, Lock};
use crate::register::Writer;

pub mod body;
pub mod stalls;
mod task;

/// Threads of the application's runtime.
const THREADS: usize = 2;

/// The configuration of a worker, as it comes with its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Its name in the history.
    pub name: String,
    /// The file of its history.
    pub history: PathBuf,
    /// The file of its log.
    pub log: PathBuf,
    /// The store.
    pub url: String,
    /// For the naive lock: its flaw, and the members of the etcd cluster.
    pub broken: Option<(Flaw, Vec<String>)>,
    /// The locks that it uses.
    pub keys: Vec<String>,
    /// How many tasks use each of them.
    pub tasks: u64,
    /// The seed of everything that it chooses.
    pub seed: u64,
    /// The fenced register.
    pub register: SocketAddr,
    /// The TTL of the naive lock; that of the attribute's is in the URL.
    pub ttl: Duration,
}

/// What the tasks of a worker share.
struct Worker {
    lock: Arc<dyn Lock>,
    recorder: Arc<Recorder>,
    register: Writer,
    /// Until when the bodies of long locks do not end, if they are not stopped.
    outlast: Arc<AtomicU64>,
    stopping: AtomicBool,
}

/// Runs the worker until it has been told to stop.
#[must_use]
#[expect(clippy::print_stderr, reason = "the driver shows it")]
pub fn run(config: &Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let result = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(work(config)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", config.name);
            ExitCode::FAILURE
        }
    }
}

async fn work(config: &Config) -> Result<(), String> {
    let log = std::fs::File::create(&config.log).map_err(|error| error.to_string())?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(log).init();
    silence_planned_panics();
    let recorder = Arc::new(Recorder::open(&config.history, &config.name).map_err(|error| error.to_string())?);
    let register = Writer::connect(config.register).map_err(|error| format!("the register: {error}"))?;
    let lock = connect(config).await?;
    recorder.record(EventKind::WorkerStarted { pid: std::process::id(), promises: lock.promises() });
    stalls::watch(&recorder);
    let worker =
        Arc::new(Worker { lock, recorder, register, outlast: Arc::default(), stopping: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    for key in &config.keys {
        for number in 0..config.tasks {
            tasks.spawn(task::run(worker.clone(), key.clone(), config.seed, format!("{}/{key}/{number}", config.name)));
        }
    }
    let handle = tokio::runtime::Handle::current();
    std::thread::spawn(move || follow_commands(&worker, &handle));
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn connect(config: &Config) -> Result<Arc<dyn Lock>, String> {
    match &config.broken {
        None => Ok(Arc::new(Ours::connect(&config.url).map_err(|error| error.to_string())?)),
        Some((flaw, endpoints)) => {
            let members = Members::connect(endpoints, config.ttl / 3).await.map_err(|error| error.to_string())?;
            Ok(Arc::new(NaiveLock::new(members, config.ttl, *flaw)))
        }
    }
}

fn follow_commands(worker: &Arc<Worker>, runtime: &tokio::runtime::Handle) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let (command, millis) = line.split_once(' ').unwrap_or_default();
        let time = Duration::from_millis(millis.parse().unwrap_or(0));
        match command {
            "outlast" => worker.outlast.store(now() + nanos(time), Ordering::Release),
            "block" => {
                // On every thread of the runtime, as by code that blocks where it should not.
                (0..THREADS).for_each(|_| drop(runtime.spawn(async move { std::thread::sleep(time) })));
            }
            _ => worker.stopping.store(true, Ordering::Release),
        }
    }
    // The driver has closed its end, or is gone.
    worker.stopping.store(true, Ordering::Release);
}

fn silence_planned_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|text| text != body::PLANNED) {
            print(panic);
        }
    }));
}
