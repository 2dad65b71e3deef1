//! The worker processes, each behind a network of its own.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use support::child::Child;
use support::proxy::Proxy;

use crate::lock::Flaw;
use crate::worker::Orders;

/// The workers and what leads to them.
#[derive(Debug)]
pub struct Crew {
    posts: Vec<Post>,
}

/// A place for a worker: when one is killed, another takes it.
#[derive(Debug)]
struct Post {
    ways: Vec<Proxy>,
    program: PathBuf,
    orders: Orders,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    child: Child,
    generation: u64,
}

/// What is the same for all workers.
#[derive(Debug)]
pub struct Service<'a> {
    /// The program that is a worker if its arguments say so.
    pub program: &'a Path,
    /// Where histories and logs go.
    pub directory: &'a Path,
    /// The store.
    pub url: &'a str,
    /// What is wrong with the lock, if it is not ours.
    pub broken: Option<Flaw>,
    /// What the workers choose by.
    pub seed: u64,
    /// The fenced register.
    pub register: SocketAddr,
    /// The TTL of every lock.
    pub ttl: Duration,
}

/// How many workers there are.
pub const WORKERS: usize = 3;

/// How many tasks of each take each lock.
const TASKS: u64 = 3;

/// The locks of a worker: those that all of them take, and those that it shares with one of the others: a fault of the
/// third is no excuse there. Of each there is one for short bodies and one for long ones.
fn keys(worker: usize) -> Vec<String> {
    let others = (0..WORKERS).filter(|other| *other != worker);
    let shared = others.map(|other| format!("{}{}", worker.min(other), worker.max(other)));
    let parties = shared.chain(["all".to_owned()]);
    parties.flat_map(|party| [format!("/torture/{party}/short"), format!("/torture/{party}{LONG}")]).collect()
}

/// How the keys end whose bodies may be longer than a TTL: whoever is cut off then has something to lose.
pub const LONG: &str = "/long";

impl Crew {
    /// Starts all of them.
    #[must_use]
    pub fn start(service: &Service<'_>) -> Self {
        Self { posts: (0..WORKERS).map(|number| Post::man(service, number)).collect() }
    }

    /// The process that is at this post now, by its name in the history.
    #[must_use]
    pub fn name(&self, worker: usize) -> String {
        self.posts[worker].name(self.held(worker).generation)
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self, worker: usize) -> u32 {
        self.held(worker).child.id()
    }

    /// Its ways to the store.
    #[must_use]
    pub fn ways(&self, worker: usize) -> &[Proxy] {
        &self.posts[worker].ways
    }

    /// Does something to it.
    pub fn with<T>(&self, worker: usize, does: impl FnOnce(&mut Child) -> T) -> T {
        does(&mut self.held(worker).child)
    }

    /// Another takes the place of the one that was killed.
    pub fn replace(&self, worker: usize) {
        let mut held = self.held(worker);
        let generation = held.generation + 1;
        *held = Held { child: self.posts[worker].start(generation), generation };
    }

    /// Tells all to begin nothing more, and waits until they have ended. Gives the names of those who do not.
    #[must_use]
    pub fn stop(&self, within: Duration) -> Vec<String> {
        let until = std::time::Instant::now() + within;
        (0..self.posts.len()).for_each(|worker| self.with(worker, |child| child.hang_up()));
        let workers = (0..self.posts.len()).filter(|worker| {
            let left = until.saturating_duration_since(std::time::Instant::now());
            !self.with(*worker, |child| child.ends(left))
        });
        workers.map(|worker| self.name(worker)).collect()
    }

    fn held(&self, worker: usize) -> std::sync::MutexGuard<'_, Held> {
        self.posts[worker].held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Post {
    fn man(service: &Service<'_>, number: usize) -> Self {
        let (url, ways) = behind_proxies(service.url);
        let endpoints = ways.iter().map(|way| way.addr().to_string()).collect();
        let orders = Orders {
            name: format!("w{number}"),
            history: service.directory.to_owned(),
            log: service.directory.to_owned(),
            url: format!("{url}{}ttl={}s", if url.contains('?') { '&' } else { '?' }, service.ttl.as_secs()),
            broken: service.broken.map(|flaw| (flaw, endpoints)),
            keys: keys(number),
            tasks: TASKS,
            seed: service.seed,
            register: service.register,
            ttl: service.ttl,
        };
        let child = start(service.program, &orders, 1);
        Self { ways, program: service.program.to_owned(), orders, held: Mutex::new(Held { child, generation: 1 }) }
    }

    fn name(&self, generation: u64) -> String {
        format!("{}.{generation}", self.orders.name)
    }

    fn start(&self, generation: u64) -> Child {
        start(&self.program, &self.orders, generation)
    }
}

#[expect(clippy::expect_used, reason = "a torture without workers proves nothing")]
fn start(program: &Path, orders: &Orders, generation: u64) -> Child {
    let name = format!("{}.{generation}", orders.name);
    let history = orders.history.join(format!("{name}.jsonl"));
    let log = orders.log.join(format!("{name}.log"));
    let orders = Orders { name, history, log, ..orders.clone() };
    let orders = serde_json::to_string(&orders).expect("orders are JSON");
    Child::start(Command::new(program).args(["worker", &orders]))
}

/// The same store, with a proxy before each of its addresses. A store without addresses has no ways that could be cut.
fn behind_proxies(url: &str) -> (String, Vec<Proxy>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), Vec::new()) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let ways: Vec<Proxy> = hosts.split(',').filter(|host| !host.is_empty()).map(way).collect();
    if ways.is_empty() {
        return (url.to_owned(), ways);
    }
    let login = if login.is_empty() { String::new() } else { format!("{login}@") };
    let hosts: Vec<String> = ways.iter().map(|way| way.addr().to_string()).collect();
    (format!("{scheme}://{login}{}{path}", hosts.join(",")), ways)
}

#[expect(clippy::expect_used, reason = "a torture without its store proves nothing")]
fn way(host: &str) -> Proxy {
    let address = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    Proxy::to(address.expect("the store's URL names each host with its port"))
}
