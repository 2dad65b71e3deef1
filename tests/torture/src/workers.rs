//! The worker processes, each with proxies of its own before the store.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::child::Child;
use support::proxy::Proxy;

use crate::lock::Flaw;
use crate::worker::Config;

/// All workers, by number.
#[derive(Debug)]
pub struct Workers(Vec<Supervised>);

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

/// The locks of a worker: those that all of them use, and those that it shares with only one other, so that a fault of
/// the third explains nothing there. Of each there is one for short bodies and one for long ones.
fn keys(worker: usize) -> Vec<String> {
    let others = (0..WORKERS).filter(|other| *other != worker);
    let pairs = others.map(|other| format!("{}{}", worker.min(other), worker.max(other)));
    let groups = pairs.chain(["all".to_owned()]);
    groups.flat_map(|group| [format!("/torture/{group}/short"), format!("/torture/{group}{LONG}")]).collect()
}

/// The locks of all workers.
#[must_use]
pub fn all_keys() -> BTreeSet<String> {
    (0..WORKERS).flat_map(keys).collect()
}

/// The ending of the keys whose bodies may be longer than a TTL, so that a worker that is cut off holds something.
pub const LONG: &str = "/long";

impl Workers {
    /// Starts all of them.
    #[must_use]
    pub fn start(shared: &SharedConfig<'_>) -> Self {
        Self((0..WORKERS).map(|number| Supervised::start(shared, number)).collect())
    }

    /// The name that the worker's present process has in the history.
    #[must_use]
    pub fn name(&self, worker: usize) -> String {
        self.0[worker].name(self.running(worker).generation)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self, worker: usize) -> u32 {
        self.running(worker).child.id()
    }

    /// The proxies between it and the store.
    #[must_use]
    pub fn proxies(&self, worker: usize) -> &[Proxy] {
        &self.0[worker].proxies
    }

    /// Calls `action` with its present process.
    pub fn with<T>(&self, worker: usize, action: impl FnOnce(&mut Child) -> T) -> T {
        action(&mut self.running(worker).child)
    }

    /// Starts another process for a worker whose process was killed.
    pub fn replace(&self, worker: usize) {
        let mut running = self.running(worker);
        let generation = running.generation + 1;
        *running = Running { child: self.0[worker].spawn(generation), generation };
    }

    /// Tells all workers to make no more calls, and waits until their processes have ended. Returns the names of those
    /// that have not.
    #[must_use]
    pub fn stop(&self, within: Duration) -> Vec<String> {
        let until = Instant::now() + within;
        (0..self.0.len()).for_each(|worker| self.with(worker, |child| child.hang_up()));
        let hanging = (0..self.0.len()).filter(|worker| {
            let left = until.saturating_duration_since(Instant::now());
            !self.with(*worker, |child| child.ends(left))
        });
        hanging.map(|worker| self.name(worker)).collect()
    }

    fn running(&self, worker: usize) -> std::sync::MutexGuard<'_, Running> {
        self.0[worker].running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
            url: format!("{url}{}ttl={}s", if url.contains('?') { '&' } else { '?' }, shared.ttl.as_secs()),
            broken: shared.broken.map(|flaw| (flaw, endpoints)),
            keys: keys(number),
            tasks: TASKS,
            seed: shared.seed,
            register: shared.register,
            ttl: shared.ttl,
        };
        let child = spawn(shared.program, &config, 1);
        Self {
            proxies,
            program: shared.program.to_owned(),
            config,
            running: Mutex::new(Running { child, generation: 1 }),
        }
    }

    fn name(&self, generation: u64) -> String {
        format!("{}.{generation}", self.config.name)
    }

    fn spawn(&self, generation: u64) -> Child {
        spawn(&self.program, &self.config, generation)
    }
}

#[expect(clippy::expect_used, reason = "a torture without workers proves nothing")]
fn spawn(program: &Path, config: &Config, generation: u64) -> Child {
    let name = format!("{}.{generation}", config.name);
    let history = config.history.join(format!("{name}.jsonl"));
    let log = config.log.join(format!("{name}.log"));
    let config = Config { name, history, log, ..config.clone() };
    let config = serde_json::to_string(&config).expect("the configuration is JSON");
    Child::start(Command::new(program).args(["worker", &config]))
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
