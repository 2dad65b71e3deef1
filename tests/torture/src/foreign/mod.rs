//! Clients of other projects in the same line as the workers, on the locks that all workers use, under faults of their own.
//!
//! - `store`: which clients on which store
//! - `turns`: what a client does, again and again; `step`: how that is recorded
//! - `faults`: what is done to them
//!
//! A client runs in a process of its own, which a driver of `tests/peers` is; the bodies under its locks run here. The
//! checker's rule is in `checker/foreign.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::peers::Driver;
use support::proxy::Proxy;

use crate::history::{EventKind, Recorder};
use crate::workers::behind_proxies;

mod faults;
mod step;
mod store;
mod turns;

pub use step::Step;
use store::Usage;

/// The clients of other projects in a run.
#[derive(Debug)]
pub struct Foreigners {
    clients: Vec<Arc<Client>>,
    threads: Vec<JoinHandle<()>>,
}

/// A client of another project, with proxies of its own before the store. When its process is killed, another one replaces
/// it.
#[derive(Debug)]
struct Client {
    usage: Usage,
    proxies: Vec<Proxy>,
    directory: PathBuf,
    running: Mutex<Running>,
    is_over: AtomicBool,
}

/// The process that runs a client.
#[derive(Clone, Debug)]
struct Running {
    driver: Arc<Driver>,
    generation: u64,
    recorder: Arc<Recorder>,
}

/// The locks that the clients use, and how many turns of each at a time.
const LOCKS: [(&str, usize); 2] = [("/torture/all/short", 2), ("/torture/all/long", 1)];

impl Foreigners {
    /// Starts those that `PEERS` names (`none`, or names with commas between), by default those that are
    /// installed for this store, which has this URL, and exclude each other. There are faults for this long.
    ///
    /// # Errors
    ///
    /// If one that is named is not installed, or cannot share locks on this store.
    pub fn start(store: &str, url: &str, directory: &Path, seed: u64, length: Duration) -> io::Result<Self> {
        let mut clients = Vec::new();
        for name in chosen(&Usage::all(store, url))? {
            let (url, proxies) = behind_proxies(url);
            let usage = Usage::all(store, &url).into_iter().find(|usage| usage.peer.name() == name);
            clients.extend(usage.map(|usage| Client::start(usage, proxies, directory)).transpose()?.map(Arc::new));
        }
        let mut threads = Vec::new();
        for client in &clients {
            for number in LOCKS.iter().flat_map(|(key, tasks)| (0..*tasks).map(move |task| (*key, task))) {
                let client = client.clone();
                threads.push(thread::spawn(move || client.take_turns(number.0, seed, number.1)));
            }
        }
        if !clients.is_empty() {
            let recorder = Recorder::open(&directory.join("foreign-faults.jsonl"), "nemesis")?;
            let disturbed = clients.clone();
            threads.push(thread::spawn(move || faults::disturb(&disturbed, seed, length, &recorder)));
        }
        Ok(Self { clients, threads })
    }

    /// Kills all of them.
    pub fn stop(self) {
        self.clients.iter().for_each(|client| client.is_over.store(true, Ordering::Relaxed));
        self.clients.iter().for_each(|client| client.kill());
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The names of the clients to be used.
fn chosen(possible: &[Usage]) -> io::Result<Vec<String>> {
    let installed = possible.iter().filter(|usage| usage.peer.is_installed()).map(|usage| usage.peer.name().to_owned());
    let installed: Vec<String> = installed.collect();
    let named = match std::env::var("PEERS") {
        Ok(named) if named == "none" => Vec::new(),
        Ok(named) if !named.is_empty() => named.split(',').map(str::to_owned).collect(),
        _ => {
            let by_default = |name: &String| possible.iter().any(|usage| usage.by_default && usage.peer.name() == name);
            return Ok(installed.into_iter().filter(by_default).collect());
        }
    };
    match named.iter().find(|name| !installed.contains(name)) {
        Some(name) => {
            let installed = installed.join(", ");
            Err(io::Error::other(format!("PEERS={name}: installed for this store are: {installed}")))
        }
        None => Ok(named),
    }
}

impl Client {
    fn start(usage: Usage, proxies: Vec<Proxy>, directory: &Path) -> io::Result<Self> {
        let running = Running::start(&usage, directory, 1)?;
        let is_over = AtomicBool::new(false);
        Ok(Self { usage, proxies, directory: directory.to_owned(), running: Mutex::new(running), is_over })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The name that its present process has in the history.
    fn name(&self) -> String {
        name(&self.usage, self.running().generation)
    }

    fn kill(&self) {
        let running = self.running();
        running.driver.kill();
        running.recorder.record(EventKind::WorkerDied { process: name(&self.usage, running.generation) });
    }

    /// Starts another process.
    fn replace(&self) -> io::Result<()> {
        let mut running = self.running();
        *running = Running::start(&self.usage, &self.directory, running.generation + 1)?;
        Ok(())
    }
}

impl Running {
    fn start(usage: &Usage, directory: &Path, generation: u64) -> io::Result<Self> {
        let name = name(usage, generation);
        let recorder = Arc::new(Recorder::open(&directory.join(format!("{name}.jsonl")), name)?);
        Ok(Self { driver: Driver::start(usage.driver), generation, recorder })
    }
}

fn name(usage: &Usage, generation: u64) -> String {
    format!("{}.{generation}", usage.peer.name())
}
