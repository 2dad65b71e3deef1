//! The worker processes, each with proxies of its own before the store.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::child::Child;
use support::proxy::Proxy;

use crate::checker::GENERATION;
use crate::lock::Flaw;
use crate::worker::Config;
use crate::worker::steps::INNERMOST;

/// All workers, by number.
#[derive(Debug)]
pub struct Workers {
    all: Vec<Supervised>,
    stopping: AtomicBool,
}

/// A worker, and the process that runs it: when that is killed, another one replaces it.
#[derive(Debug)]
struct Supervised {
    proxies: Vec<Proxy>,
    program: PathBuf,
    config: Config,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    generation: u64,
    /// The nemesis has killed it.
    is_killed: bool,
    /// Its end is known.
    is_over: bool,
}

/// What a worker's process has said, and whether it is over.
#[derive(Debug)]
pub struct News {
    /// The process.
    pub generation: u64,
    /// The lines that it has printed since.
    pub lines: Vec<String>,
    /// How it ended, if it has, and the end of what it has written.
    pub ended: Option<Ended>,
}

/// The end of a worker's process that the nemesis has not killed.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// The end of its stderr and of its log.
    pub tail: String,
}

/// What all workers have in common.
#[derive(Debug)]
pub struct SharedConfig<'a> {
    /// The program that is a worker if its first argument is `worker`.
    pub program: &'a Path,
    /// Where histories and logs are written.
    pub directory: &'a Path,
    /// The store.
    pub url: &'a str,
    /// The flaw of the naive lock, if that is to be run.
    pub broken: Option<Flaw>,
    /// The seed of everything that the workers choose.
    pub seed: u64,
    /// The fenced register.
    pub register: SocketAddr,
    /// The TTL of every lock.
    pub ttl: Duration,
}

/// How many workers there are.
pub const WORKERS: usize = 3;

/// How many tasks of each worker use each of its locks.
const TASKS: u64 = 3;

/// How many tasks of each worker call what the matrix asks for, in each group.
const MATRIX_TASKS: u64 = 2;

/// The locks of a worker: those that all of them use, and those that it shares with only one other, so that a fault of
/// the third explains nothing there. Of each there is one for short bodies and one for long ones.
fn keys(worker: usize) -> Vec<String> {
    groups(worker).into_iter().flat_map(|group| [format!("{group}/short"), format!("{group}{LONG}")]).collect()
}

/// What the keys of a worker begin with.
fn groups(worker: usize) -> Vec<String> {
    let others = (0..WORKERS).filter(|other| *other != worker);
    let pairs = others.map(|other| format!("{}{}", worker.min(other), worker.max(other)));
    pairs.chain(["all".to_owned()]).map(|group| format!("/torture/{group}")).collect()
}

/// The locks of all workers.
#[must_use]
pub fn all_keys() -> BTreeSet<String> {
    let of_matrix = (0..WORKERS)
        .flat_map(groups)
        .flat_map(|group| [MATRIX, TRIED].concat().into_iter().map(move |key| format!("{group}{key}")));
    (0..WORKERS).flat_map(keys).chain(of_matrix).chain([INNERMOST.to_owned()]).collect()
}

/// The endings of the keys of the matrix, for calls that wait: there is always a queue for the first.
pub const MATRIX: [&str; 3] = ["/matrix", "/matrix-b", "/matrix-c"];

/// The same, for those that try.
pub const TRIED: [&str; 3] = ["/try", "/try-b", "/try-c"];

/// The ending of the keys whose bodies may be longer than a TTL, so that a worker that is cut off holds something.
pub const LONG: &str = "/long";

impl Workers {
    /// Starts all of them.
    #[must_use]
    pub fn start(shared: &SharedConfig<'_>) -> Self {
        let all = (0..WORKERS).map(|number| Supervised::start(shared, number)).collect();
        Self { all, stopping: AtomicBool::new(false) }
    }

    /// The name that its network has in the history: that of all its processes, one after the other.
    #[must_use]
    pub fn route(&self, worker: usize) -> &str {
        &self.all[worker].config.name
    }

    /// The name that the worker's present process has in the history.
    #[must_use]
    pub fn name(&self, worker: usize) -> String {
        self.name_of(worker, self.running(worker).generation)
    }

    /// The name that its process of this generation has in the history.
    #[must_use]
    pub fn name_of(&self, worker: usize, generation: u64) -> String {
        self.all[worker].name(generation)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self, worker: usize) -> u32 {
        self.running(worker).child.id()
    }

    /// The proxies between it and the store.
    #[must_use]
    pub fn proxies(&self, worker: usize) -> &[Proxy] {
        &self.all[worker].proxies
    }

    /// Calls `action` with its present process.
    pub fn with<T>(&self, worker: usize, action: impl FnOnce(&mut Child) -> T) -> T {
        action(&mut self.running(worker).child)
    }

    /// What the worker's process has said since the last time; how it ended, once, unless the nemesis has killed it.
    #[must_use]
    pub fn news(&self, worker: usize) -> News {
        let mut running = self.running(worker);
        let Running { child, generation, is_killed, is_over } = &mut *running;
        let ended = child.ended().filter(|_| !std::mem::replace(is_over, true));
        let lines = std::iter::from_fn(|| if ended.is_some() { child.last_line() } else { child.try_line() }).collect();
        let ended = ended.filter(|_| !*is_killed).map(|status| {
            let log = self.all[worker].file(*generation, "log");
            Ended { status, tail: format!("{}{}", child.stderr(), support::log_tail(&log)) }
        });
        News { generation: *generation, lines, ended }
    }

    /// Kills the worker's present process, and returns its generation.
    pub fn kill(&self, worker: usize) -> u64 {
        let mut running = self.running(worker);
        running.is_killed = true;
        running.child.kill();
        running.generation
    }

    /// Starts another process for a worker whose process of this generation has ended, unless there is one, or all stop.
    pub fn replace(&self, worker: usize, generation: u64) {
        let mut running = self.running(worker);
        if running.generation == generation && !self.is_stopping() {
            *running = self.all[worker].spawn(generation + 1);
        }
    }

    /// Whether all workers have been told to make no more calls.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells all workers to make no more calls, and waits until their processes have ended. Returns the names of those
    /// that have not.
    #[must_use]
    pub fn stop(&self, within: Duration) -> Vec<String> {
        let until = Instant::now() + within;
        self.stopping.store(true, Ordering::Release);
        (0..self.all.len()).for_each(|worker| self.with(worker, |child| child.hang_up()));
        let runs = |worker: &usize| self.with(*worker, |child| !child.has_ended());
        // Meanwhile others may need them.
        while Instant::now() < until && (0..self.all.len()).any(|worker| runs(&worker)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        (0..self.all.len()).filter(runs).map(|worker| self.name(worker)).collect()
    }

    fn running(&self, worker: usize) -> std::sync::MutexGuard<'_, Running> {
        self.all[worker].running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Supervised {
    fn start(shared: &SharedConfig<'_>, number: usize) -> Self {
        let (url, proxies) = behind_proxies(shared.url);
        let endpoints = proxies.iter().map(|proxy| proxy.addr().to_string()).collect();
        let config = Config {
            name: format!("w{number}"),
            history: shared.directory.to_owned(),
            log: shared.directory.to_owned(),
            url,
            broken: shared.broken.map(|flaw| (flaw, endpoints)),
            keys: keys(number),
            tasks: TASKS,
            // A naive lock has no options.
            groups: (if shared.broken.is_none() { groups(number) } else { Vec::new() }, MATRIX_TASKS),
            seed: shared.seed,
            register: shared.register,
            ttl: shared.ttl,
        };
        let running = Mutex::new(spawn(shared.program, &config, 1));
        Self { proxies, program: shared.program.to_owned(), config, running }
    }

    fn name(&self, generation: u64) -> String {
        process(&self.config.name, generation)
    }

    fn spawn(&self, generation: u64) -> Running {
        spawn(&self.program, &self.config, generation)
    }

    /// A file of its process of this generation.
    fn file(&self, generation: u64, extension: &str) -> PathBuf {
        self.config.log.join(format!("{}.{extension}", self.name(generation)))
    }
}

/// The name of a worker's process of this generation in the history.
fn process(worker: &str, generation: u64) -> String {
    format!("{worker}{GENERATION}{generation}")
}

#[expect(clippy::expect_used, reason = "a torture without workers proves nothing")]
fn spawn(program: &Path, config: &Config, generation: u64) -> Running {
    let name = process(&config.name, generation);
    let history = config.history.join(format!("{name}.jsonl"));
    let log = config.log.join(format!("{name}.log"));
    let config = Config { name, history, log, ..config.clone() };
    let config = serde_json::to_string(&config).expect("the configuration is JSON");
    let child = Child::start(Command::new(program).args(["worker", &config]));
    Running { child, generation, is_killed: false, is_over: false }
}

/// The same store, with a proxy before each of its addresses. A store without addresses has no proxies.
pub(crate) fn behind_proxies(url: &str) -> (String, Vec<Proxy>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), Vec::new()) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let proxies: Vec<Proxy> = hosts.split(',').filter(|host| !host.is_empty()).map(proxy).collect();
    if proxies.is_empty() {
        return (url.to_owned(), proxies);
    }
    let login = if login.is_empty() { String::new() } else { format!("{login}@") };
    let hosts: Vec<String> = proxies.iter().map(|proxy| proxy.addr().to_string()).collect();
    (format!("{scheme}://{login}{}{path}", hosts.join(",")), proxies)
}

#[expect(clippy::expect_used, reason = "a torture without its store proves nothing")]
fn proxy(host: &str) -> Proxy {
    let address = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    Proxy::to(address.expect("the store's URL names each host with its port"))
}
