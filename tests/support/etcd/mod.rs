//! etcd servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Daemon::kill`], then [`Daemon::restart`] with the same ports and data |
//! | a hung or cut-off server | [`Daemon::pause`]: connections stay open, nothing is answered |
//! | a cut-off minority | pause the other members: the one left answers, but cannot commit |
//! | a member cut off from others | [`Setup::links`], then [`Links`](Cluster::links) |
//! | lost data, a restored snapshot | [`Etcd::wipe`]; [`Etcd::save`], then [`Etcd::restore`] |
//! | a member that is replaced | [`Cluster::rejoin`], after the cluster was told |
//! | a snapshot restored on a cluster | [`Cluster::restore`] |
//! | another version of etcd | [`Etcd::run_next`], then [`Daemon::restart`]; back: [`Etcd::allow_downgrade`] first |
//! | another cluster at a member's address | [`Etcd::impostor`] |
//! | a slow disk | [`Etcd::slow_disk`] |
//! | a full disk, as far as etcd sees | [`Setup::quota`], [`Etcd::fill_up`], [`Etcd::make_room`] |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Daemon::address`] |
//! | another client | [`Etcd::ctl`] (etcdctl), [`Etcd::gateway`] (the JSON gateway) |
//!
//! Data is kept in memory where the machine has enough, unless [`Setup::fsync`] is set: a server or a cluster is
//! ready within a second, and forgets nothing when it is killed.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::certificates::Certificates;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::server::{Cost, Server};

mod binary;
mod cluster;
mod data;
mod disk;
mod links;
mod metrics;
mod questions;
mod replaced;
mod roll;
mod setup;
mod space;
mod start;

pub use binary::Binary;
pub use cluster::Cluster;
pub use data::Saved;
pub use disk::SlowDisk;
pub use links::Links;
pub use metrics::Metrics;
use questions::Status;
pub use replaced::Impostor;
pub use setup::{Setup, Users};
use start::Start;

/// A running etcd server, alone or a member of a [`Cluster`]. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Etcd {
    start: Arc<Start>,
    has_users: bool,
    status: Status,
    daemon: Daemon,
}

impl Etcd {
    /// Starts a server with etcd's defaults and waits until it answers.
    pub fn start(binary: &Binary) -> Etcd {
        Etcd::start_with(binary, &Setup::default())
    }

    /// As [`start`](Etcd::start), otherwise set up.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn start_with(binary: &Binary, setup: &Setup) -> Etcd {
        Etcd::start_members(binary, 1, setup).0.remove(0)
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        self.daemon.endpoint()
    }

    /// The program that it runs, or is to run when it is started next.
    pub fn binary(&self) -> Binary {
        self.start.binary()
    }

    /// Runs this program from its next start on.
    pub fn run_next(&self, binary: &Binary) {
        self.start.run(binary);
    }

    fn start_members(binary: &Binary, size: usize, setup: &Setup) -> (Vec<Etcd>, Option<Links>) {
        let prepare = || prepare(binary, size, setup);
        let started = crate::daemon::start(prepare, |(members, _)| members.iter().map(|one| &one.daemon).collect());
        if let Some(users) = &setup.users {
            started.0[0].enable_users(users);
        }
        started
    }
}

impl Deref for Etcd {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for Etcd {
    const DELETED: &'static str = "deleted";

    fn left(&self, key: &str) -> Vec<String> {
        let keys = self.ctl(&["get", "--prefix", "--keys-only", key]);
        keys.split_whitespace().map(str::to_owned).collect()
    }

    fn record(&self, key: &str) -> String {
        self.ctl(&["get", "--prefix", key])
    }

    /// What the lease was granted, which is more than what remains of it.
    fn lapse(&self, key: &str) -> Duration {
        let lease = self.json(&["lease", "timetolive", &self.lease(key)]);
        Duration::from_secs(lease["granted-ttl"].as_u64().unwrap())
    }

    fn delete(&self, key: &str) {
        self.ctl(&["del", "--prefix", key]);
    }

    /// Requests of every kind but what goes over streams, and entries in the raft log.
    fn cost(&self) -> Cost {
        Cost::from([("calls".to_owned(), self.metrics().all_calls()), ("proposals".to_owned(), self.proposals())])
    }
}

/// Text as the JSON gateway wants keys and values: in base64.
pub fn encode(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// A key or value from the JSON gateway as text.
pub fn decode(base64: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(base64).unwrap()).unwrap()
}

/// All members with their flags, none running.
fn prepare(binary: &Binary, size: usize, setup: &Setup) -> (Vec<Etcd>, Option<Links>) {
    let peers: Vec<u16> = (0..size).map(|_| ports::free()).collect();
    let links = setup.links.then(|| Links::between(&peers));
    let advertised = |number, peer| links.as_ref().map_or(peer, |links| links.advertised(number));
    let peers: Vec<Peer> = peers
        .iter()
        .enumerate()
        .map(|(number, port)| Peer { number, listens: *port, advertised: advertised(number, *port) })
        .collect();
    let cluster: Vec<String> =
        peers.iter().map(|peer| format!("m{}={}", peer.number, local(peer.advertised))).collect();
    let members: Vec<Etcd> = peers.iter().map(|peer| prepare_member(binary, setup, peer, &cluster)).collect();
    links.iter().for_each(|links| links.know(members.iter().map(|member| member.daemon.pid()).collect()));
    (members, links)
}

/// A member as the others see it.
struct Peer {
    number: usize,
    listens: u16,
    advertised: u16,
}

fn prepare_member(binary: &Binary, setup: &Setup, peer: &Peer, cluster: &[String]) -> Etcd {
    // Each takes 128 MB for its log at once, and syncs what it creates whatever `--unsafe-no-fsync` says.
    let directory = if setup.fsync { tempfile::tempdir().unwrap() } else { fast_directory("locks-etcd-") };
    let certificates = setup.tls.then(|| Certificates::create(directory.path()));
    let (client, status) = (ports::free(), ports::free());
    let clients = local(client).replace("http:", if setup.tls { "https:" } else { "http:" });
    let mut flags = vec![
        format!("--name=m{}", peer.number),
        format!("--data-dir={}", directory.path().join("data").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={}", local(peer.listens)),
        format!("--initial-advertise-peer-urls={}", local(peer.advertised)),
        format!("--initial-cluster={}", cluster.join(",")),
        // Health and metrics without TLS.
        format!("--listen-metrics-urls={}", local(status)),
    ];
    flags.extend(certificates.iter().flat_map(tls_flags));
    flags.extend(setup.flags(cluster.len()));
    let (start, status) = (Arc::new(Start::new(binary, flags)), Status::at(status));
    let next = start.clone();
    let login = setup.users.as_ref().map(|users| format!("{}:{}@", users.name, users.password));
    let daemon = Daemon::new(Launch {
        name: format!("etcd {} at 127.0.0.1:{client}", binary.version()),
        directory,
        address: (Ipv4Addr::LOCALHOST, client).into(),
        url: ClientUrl {
            scheme: if setup.tls { "etcds" } else { "etcd" },
            login: login.unwrap_or_default(),
            certificates,
            ..ClientUrl::default()
        },
        command: Box::new(move || {
            let mut command = next.command();
            clear_environment(&mut command);
            command
        }),
        answers: Box::new(move || status.is_healthy()),
    });
    Etcd { start, has_users: setup.users.is_some(), status, daemon }
}

fn tls_flags(files: &Certificates) -> [String; 4] {
    [
        format!("--cert-file={}", files.server().display()),
        format!("--key-file={}", files.server_key().display()),
        format!("--trusted-ca-file={}", files.ca().display()),
        "--client-cert-auth".into(),
    ]
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// etcd and etcdctl read every flag from the environment also; the developer's own are not for here.
fn clear_environment(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("ETCD")) {
        command.env_remove(name);
    }
}
