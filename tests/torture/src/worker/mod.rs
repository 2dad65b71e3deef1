//! A process that calls locked functions until it is told to stop.
//!
//! It is a child of the driver, and reads commands from its standard input: `block 2000` blocks the threads of its runtime
//! for so many milliseconds, `outlast 2000` lets long bodies run for as long at least, the end of the input lets no new call begin; what else it says and reads is in [`driver`]. It
//! ends when the last call has returned, or as the matrix asks for.
//!
//! - `task`, [`body`]: calls that are chosen at random
//! - `matrix`, [`steps`], `drive`, `deeds`, `child`: calls of the matrix; their bodies, their phases, and what happens there

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::clock::{nanos, now};
use crate::history::{EventKind, Recorder};
use crate::lock::line::LineLock;
use crate::lock::members::Members;
use crate::lock::naive::NaiveLock;
use crate::lock::ours::Ours;
use crate::lock::wanted::Shares;
use crate::lock::{Flaw, Kinds, Lock};
use crate::matrix::Client;
use crate::register::Writer;

pub mod body;
mod child;
pub mod clients;
mod deeds;
mod drive;
pub mod driver;
mod matrix;
pub mod stalls;
pub mod steps;
mod task;

use clients::Clients;
use driver::Driver;

/// Threads of the application's runtime.
const THREADS: usize = 2;

/// How long `main` waits for threads that are blocked when it returns.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// The configuration of a worker, as it comes with its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Its name in the history.
    pub name: String,
    /// The file of its history.
    pub history: PathBuf,
    /// The file of its log.
    pub log: PathBuf,
    /// The store. It has no TTL in it.
    pub url: String,
    /// For the naive lock: its flaw, and the members of the etcd cluster.
    pub broken: Option<(Flaw, Vec<String>)>,
    /// The locks that it uses.
    pub keys: Vec<String>,
    /// How many tasks use each of them.
    pub tasks: u64,
    /// The groups of workers whose locks of the matrix it uses, and how many tasks use those of each.
    pub groups: (Vec<String>, u64),
    /// The seed of everything that it chooses.
    pub seed: u64,
    /// The fenced register.
    pub register: SocketAddr,
    /// The TTL of most locks.
    pub ttl: Duration,
}

/// What the tasks of a worker share.
#[derive(Debug)]
struct Worker {
    name: String,
    history: PathBuf,
    locks: Tested,
    recorder: Arc<Recorder>,
    register: Writer,
    driver: Driver,
    /// Until when the bodies of long locks do not end, if they are not stopped.
    outlast: Arc<AtomicU64>,
    stopping: AtomicBool,
    /// How many bodies of the matrix this process has under each lock, or on their way out.
    bodies: Mutex<HashMap<String, i64>>,
}

/// What is put to the test.
#[derive(Debug)]
enum Tested {
    /// With the kinds of holds that there can be.
    Ours(Clients, Kinds),
    Naive(NaiveLock),
    InLine(LineLock),
}

impl Worker {
    /// The lock that is put to the test.
    fn lock(&self) -> Box<dyn Lock> {
        match &self.locks {
            Tested::Ours(clients, _) => Box::new(Ours::of(clients.of(Client::First).1)),
            Tested::Naive(naive) => Box::new(naive.clone()),
            Tested::InLine(line) => Box::new(line.clone()),
        }
    }

    /// The clients of the matrix, which there is for no naive lock.
    #[expect(clippy::panic, reason = "a bug of the torture")]
    fn clients(&self) -> &Clients {
        match &self.locks {
            Tested::Ours(clients, _) => clients,
            Tested::Naive(_) | Tested::InLine(_) => panic!("a naive lock has no options"),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// So many bodies more are under this lock.
    fn under(&self, key: &str, more: i64) {
        *self.bodies().entry(key.to_owned()).or_default() += more;
    }

    fn bodies_under(&self, key: &str) -> i64 {
        self.bodies().get(key).copied().unwrap_or(0)
    }

    /// Of which kinds the holds that are put to the test can be.
    fn kinds(&self) -> Kinds {
        match &self.locks {
            Tested::Ours(_, kinds) => *kinds,
            Tested::Naive(_) => Kinds::default(),
            Tested::InLine(_) => Kinds::ALL,
        }
    }

    /// How many calls ask for which kind of hold.
    fn shares(&self) -> Shares {
        match &self.locks {
            Tested::Ours(..) | Tested::Naive(_) => Shares::of(self.kinds()),
            Tested::InLine(line) => Shares::of_flaw(line.flaw()),
        }
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the next call of this process.
fn next_call() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs the worker until it has been told to stop.
#[must_use]
#[expect(clippy::print_stderr, reason = "the driver shows it")]
pub fn run(config: &Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let result = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let result = runtime.block_on(work(config));
        // `main` returns although calls are under way, if the matrix asks for that. Some of them block their threads.
        runtime.shutdown_timeout(SHUTDOWN);
        result
    });
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
    let worker = Arc::new(Worker {
        name: config.name.clone(),
        history: config.history.clone(),
        locks: connect(config).await?,
        recorder: recorder.clone(),
        register: Writer::connect(config.register).map_err(|error| format!("the register: {error}"))?,
        driver: Driver::default(),
        outlast: Arc::default(),
        stopping: AtomicBool::new(false),
        bodies: Mutex::default(),
    });
    recorder.record(EventKind::WorkerStarted { pid: std::process::id(), promises: worker.lock().promises() });
    stalls::watch(&recorder);
    let mut tasks = start_tasks(&worker, config);
    let (handle, followed) = (tokio::runtime::Handle::current(), worker.clone());
    std::thread::spawn(move || follow_commands(&followed, &handle));
    tokio::select! {
        () = worker.driver.returns.notified() => {}
        () = async { while tasks.join_next().await.is_some() {} } => {}
    }
    Ok(())
}

fn start_tasks(worker: &Arc<Worker>, config: &Config) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for key in &config.keys {
        for number in 0..config.tasks {
            let (worker, keys) = (worker.clone(), (key.clone(), config.keys.clone()));
            tasks.spawn(task::run(worker, keys, config.seed, format!("{}/{key}/{number}", config.name)));
        }
    }
    let (groups, count) = &config.groups;
    for (task, group) in (0..).zip(groups.iter().flat_map(|group| (0..*count).map(move |_| group))) {
        let name = format!("{}/{group}/{task}", config.name);
        tasks.spawn(matrix::run(worker.clone(), group.clone(), config.seed, (name, task)));
    }
    tasks
}

async fn connect(config: &Config) -> Result<Tested, String> {
    match &config.broken {
        None => {
            let clients = Clients::connect(&config.url, config.ttl).map_err(|error| error.to_string())?;
            let kinds = Kinds::of(clients.of(Client::First).1.capabilities(), &config.url);
            Ok(Tested::Ours(clients, kinds))
        }
        Some((flaw, endpoints)) => {
            let members = Members::connect(endpoints, config.ttl / 3).await.map_err(|error| error.to_string())?;
            Ok(if flaw.is_of_a_line() {
                Tested::InLine(LineLock::new(members, config.ttl, *flaw))
            } else {
                Tested::Naive(NaiveLock::new(members, config.ttl, *flaw))
            })
        }
    }
}

fn follow_commands(worker: &Arc<Worker>, runtime: &tokio::runtime::Handle) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let millis = |text: &str| Duration::from_millis(text.parse().unwrap_or(0));
        match line.split_once(' ') {
            Some(("outlast", time)) => worker.outlast.store(now() + nanos(millis(time)), Ordering::Release),
            Some(("block", time)) => {
                let time = millis(time);
                // On every thread of the runtime, as by code that blocks where it should not.
                (0..THREADS).for_each(|_| drop(runtime.spawn(async move { std::thread::sleep(time) })));
            }
            _ => worker.driver.answered(&line),
        }
    }
    // The driver has closed its end, or is gone.
    worker.stopping.store(true, Ordering::Release);
    worker.driver.hung_up();
}

fn silence_planned_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|text| text != body::PLANNED) {
            print(panic);
        }
    }));
}
