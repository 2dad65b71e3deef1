//! Redis and Valkey servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Daemon::kill`], then [`Daemon::restart`] with the same port, and with its data if it is [durable](Setup::durable) |
//! | a hung or cut-off server | [`Daemon::pause`]: connections stay open, nothing is answered |
//! | a failover | a second server with `replicaof`, promoted by `REPLICAOF NO ONE` |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Daemon::address`] |
//! | another client | [`Redis::ask`] |

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, Range};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::certificates::Certificates;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::server::{Cost, Server};

mod binary;
mod cluster;
mod questions;
mod sentinels;

pub use binary::Binary;
pub use cluster::{Cluster, Clustered};
pub use questions::{Answer, Counts};
pub use sentinels::{PRIMARY, SentinelSetup, Sentinels, Watched};

/// What differs from a server with Redis' defaults, in the clear, without a password, that forgets all when it ends.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Require TLS with a client certificate.
    pub tls: bool,
    /// Require this password.
    pub password: Option<String>,
    /// In cluster mode, with these slots of 16,384.
    pub slots: Option<Range<u16>>,
    /// Keep the data over a restart, each write before it is acknowledged.
    pub durable: bool,
    /// Further settings, such as `["--replicaof", "127.0.0.1 6379"]`.
    pub flags: Vec<String>,
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Redis {
    /// Where it answers in the clear.
    plain: SocketAddr,
    /// Where it talks to the other members of its cluster.
    bus: u16,
    password: Option<String>,
    daemon: Daemon,
}

impl Redis {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn start(binary: &Binary, setup: &Setup) -> Redis {
        let redis = crate::daemon::start(|| Redis::prepare(binary, setup), |redis| vec![&redis.daemon]);
        if let Some(slots) = setup.slots.as_ref().filter(|slots| !slots.is_empty()) {
            let slots: Vec<String> = slots.clone().map(|slot| slot.to_string()).collect();
            let command = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            redis.ask(&command.collect::<Vec<_>>());
        }
        redis
    }

    /// Makes two servers in cluster mode members of one cluster.
    pub fn meet(&self, other: &Redis) {
        let (port, bus) = (other.plain.port().to_string(), other.bus.to_string());
        self.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    }

    /// Waits until each replica has acknowledged all that this primary has written by now. There has to be one.
    pub async fn replicated(&self) {
        crate::eventually(async || {
            let info = self.ask(&["INFO", "replication"]).text().unwrap_or_default();
            let number = |text: &str, name: &str| {
                let rest = text.split_once(name)?.1;
                rest.split([',', '\r']).next()?.parse::<u64>().ok()
            };
            let written = number(&info, "master_repl_offset:");
            let replicas: Vec<&str> = info.lines().filter(|line| line.contains("state=online")).collect();
            let has_all = |replica: &&str| number(replica, "offset=") >= written;
            if !replicas.is_empty() && replicas.iter().all(has_all) { Ok(()) } else { Err(info.clone()) }
        })
        .await;
    }

    /// Waits until a server in cluster mode knows who has each slot.
    pub async fn serves_cluster(&self) {
        crate::eventually(async || match self.ask(&["CLUSTER", "INFO"]).text() {
            Some(info) if info.contains("cluster_slots_assigned:16384") && info.contains("cluster_state:ok") => Ok(()),
            info => Err(info),
        })
        .await;
    }

    /// Stops it, forgets all its data, and starts it again.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn restart_without_data(&self) {
        self.kill();
        // There is none if it is not durable.
        let _ = std::fs::remove_dir_all(self.log().with_file_name("appendonlydir"));
        self.restart();
    }

    /// Sends one command, as in `ask(&["SET", "a", "1", "NX"])`.
    ///
    /// # Panics
    ///
    /// If the server refuses, with its error.
    pub fn ask(&self, command: &[&str]) -> Answer {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// As [`ask`](Redis::ask), for what may be refused.
    ///
    /// # Errors
    ///
    /// The server's error, or why it does not answer.
    pub fn try_ask(&self, command: &[&str]) -> Result<Answer, String> {
        questions::ask(self.plain, self.password.as_deref(), command)
    }

    /// All keys that match the pattern, sorted.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let Answer::List(keys) = self.ask(&["KEYS", pattern]) else { panic!("no list") };
        let mut keys: Vec<String> = keys.into_iter().filter_map(Answer::text).collect();
        keys.sort();
        keys
    }

    /// Whatever in the store belongs to locks, and every other key: sorted, without the one fence that stays, and what shows
    /// for some seconds that somebody has watched.
    pub fn all_keys(&self) -> Vec<String> {
        let mut keys = self.keys("*");
        // Those of a cluster are named for a slot.
        let is_of_namespace = |key: &str| OF_NAMESPACE.contains(&key) || key.starts_with("{@");
        keys.retain(|key| !is_of_namespace(key));
        keys
    }

    /// Publishes a message, as anybody may; returns how many clients received it.
    pub fn publish(&self, channel: &str, message: &str) -> i64 {
        self.ask(&["PUBLISH", channel, message]).number()
    }

    /// The token of the first waiter of a lock, and the channel on which its client is notified.
    pub fn first_waiter(&self, key: &str) -> (String, String) {
        let Answer::List(mut tokens) = self.ask(&["ZRANGE", &format!("{{{key}}}:queue"), "0", "0"]) else {
            panic!("no list")
        };
        with_channel(tokens.remove(0).text().expect("a token"))
    }

    /// The token of the holder of a lock, and the channel on which its client is notified.
    pub fn holder(&self, key: &str) -> (String, String) {
        let value = self.ask(&["GET", key]).text().expect("a token");
        with_channel(value.split('\n').next().unwrap_or_default().to_owned())
    }

    /// What the server has counted so far.
    pub fn counts(&self) -> Counts {
        Counts::parse(&self.ask(&["INFO", "commandstats"]).text().unwrap())
    }

    /// A server with its flags that does not run.
    fn prepare(binary: &Binary, setup: &Setup) -> Redis {
        let directory = fast_directory("locks-redis-");
        let certificates = setup.tls.then(|| Certificates::create(directory.path()));
        let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let tls = certificates.as_ref().map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())));
        let bus = ports::free();
        let mut flags = setup.flags(plain, directory.path());
        if setup.slots.is_some() {
            flags.extend(["--cluster-enabled".into(), "yes".into(), "--cluster-port".into(), bus.to_string()]);
        }
        if let (Some(files), Some(tls)) = (&certificates, tls) {
            flags.extend(tls_flags(files, tls));
        }
        flags.extend(setup.flags.iter().cloned());
        let (program, password) = (binary.path().to_owned(), setup.password.clone());
        let daemon = Daemon::new(Launch {
            name: format!("{} at {plain}", program.display()),
            directory,
            address: tls.unwrap_or(plain),
            url: ClientUrl {
                scheme: if setup.tls { "rediss" } else { "redis" },
                login: password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default(),
                certificates,
                ..ClientUrl::default()
            },
            command: Box::new(move || {
                let mut command = Command::new(&program);
                command.args(&flags);
                command
            }),
            answers: Box::new(move || questions::ask(plain, password.as_deref(), &["PING"]).is_ok()),
        });
        Redis { plain, bus, password: setup.password.clone(), daemon }
    }
}

impl Setup {
    fn flags(&self, plain: SocketAddr, directory: &Path) -> Vec<String> {
        let appendonly = if self.durable { "yes" } else { "no" };
        let mut flags: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendfsync", "always"].map(Into::into).into();
        flags.extend(["--port".into(), plain.port().to_string(), "--appendonly".into(), appendonly.into()]);
        flags.extend(["--dir".into(), directory.display().to_string()]);
        if let Some(password) = &self.password {
            flags.extend(["--requirepass".into(), password.clone()]);
        }
        flags
    }
}

/// What belongs to the namespace and to no lock.
const OF_NAMESPACE: [&str; 2] = ["{}:fence", "{}:watch"];

fn with_channel(token: String) -> (String, String) {
    let client = token.split('.').next().expect("a client");
    let channel = format!("locks@0:{client}");
    (token, channel)
}

fn tls_flags(files: &Certificates, tls: SocketAddr) -> impl Iterator<Item = String> {
    let settings = [("tls-port", tls.port().to_string())].into_iter().chain(tls_files(files));
    settings.flat_map(|(name, value)| [format!("--{name}"), value])
}

/// The settings that name the files of a server.
fn tls_files(files: &Certificates) -> [(&'static str, String); 3] {
    let file = |path: &Path| path.display().to_string();
    [
        ("tls-ca-cert-file", file(&files.ca())),
        ("tls-cert-file", file(&files.server())),
        ("tls-key-file", file(&files.server_key())),
    ]
}

impl Deref for Redis {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for Redis {
    const DELETED: &'static str = "gone from Redis";

    /// Keys in which `key` is, but the last fences, which stay, and what shows for some seconds that somebody has watched.
    fn left(&self, key: &str) -> Vec<String> {
        let mut keys = self.keys(&format!("*{key}*"));
        keys.retain(|key| !key.ends_with("}:fence") && !key.ends_with("}:watch"));
        keys
    }

    fn record(&self, key: &str) -> String {
        let value = self.ask(&["GET", key]).text().expect("a holder");
        match value.split_once('\n') {
            // The fence is between them.
            Some((_, rest)) => rest.split_once('\n').map_or(rest, |(_, record)| record).to_owned(),
            None => self.ask(&["HGET", &format!("{{{key}}}:holder"), "record"]).text().unwrap(),
        }
    }

    fn lapse(&self, key: &str) -> Duration {
        Duration::from_millis(self.ask(&["PTTL", key]).number().try_into().expect("a key that expires"))
    }

    fn delete(&self, key: &str) {
        self.ask(&["DEL", key]);
    }

    fn cost(&self) -> Cost {
        self.counts().sent()
    }
}
