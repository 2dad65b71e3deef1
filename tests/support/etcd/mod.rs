//! etcd servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Etcd::kill`], then [`Etcd::restart`] with the same ports and data |
//! | a hung or cut-off server | [`Etcd::pause`]: connections stay open, nothing is answered |
//! | a cut-off minority | pause the other members: the one left answers, but cannot commit |
//! | a member cut off from others | [`Setup::links`], then [`Links`](Cluster::links) |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Etcd::address`] |
//! | another client | [`Etcd::ctl`] (etcdctl), [`Etcd::gateway`] (the JSON gateway) |
//!
//! Data is kept in memory where the machine has enough, unless [`Setup::fsync`] says otherwise: a server or a cluster is
//! ready within a second, and forgets nothing when it is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::daemon::{Daemon, fast_directory};
use crate::ports;
use crate::process::tail;

mod binary;
mod cluster;
mod links;
mod metrics;
mod setup;
mod stage;
mod talk;

pub use crate::certificates::Certificates;
pub use binary::Binary;
pub use cluster::Cluster;
pub use links::Links;
pub use metrics::Metrics;
pub use setup::{Setup, Users};

/// Somebody else may take a port between our look at it and the server's start.
const START_TRIES: u32 = 5;

/// A running etcd server, alone or a member of a [`Cluster`]. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Etcd {
    binary: Binary,
    setup: Setup,
    client: u16,
    status: u16,
    certificates: Option<Certificates>,
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
    /// If it does not come up, with the end of its log.
    pub fn start_with(binary: &Binary, setup: &Setup) -> Etcd {
        Etcd::start_members(binary, 1, setup, START_TRIES).0.remove(0)
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client).into()
    }

    /// The URL for `Locks::connect`, with the credentials and certificates that this server asks for.
    pub fn url(&self) -> String {
        self.url_at(&self.endpoint())
    }

    /// As [`url`](Etcd::url), by another way such as a [`Proxy`](crate::proxy::Proxy).
    pub fn url_at(&self, authority: &str) -> String {
        let login = self.setup.users.as_ref().map(|users| format!("{}:{}@", users.name, users.password));
        let login = login.unwrap_or_default();
        match &self.certificates {
            None => format!("etcd://{login}{authority}"),
            Some(files) => {
                let (ca, cert, key) = (files.ca(), files.cert(), files.key());
                let query = format!("ca={}&cert={}&key={}", ca.display(), cert.display(), key.display());
                format!("etcds://{login}{authority}?{query}")
            }
        }
    }

    /// The program that it runs.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// What a client needs to connect with TLS, if the server has been set up for it.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// SIGSTOP: it keeps its connections and answers nothing. Returns when it has stopped.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// SIGCONT after [`pause`](Etcd::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it if it runs, starts it again with its ports and its data, and waits until it answers.
    ///
    /// A member answers only when the cluster has a leader: see [`launch`](Etcd::launch) and [`Cluster::restart`].
    pub fn restart(&self) {
        self.kill();
        self.launch();
        self.await_ready();
    }

    /// Starts a killed server again and does not wait for it.
    pub fn launch(&self) {
        self.daemon.launch();
    }

    /// Waits until it answers.
    ///
    /// # Panics
    ///
    /// If it ends instead, or does not answer in time, with the end of its log.
    pub fn await_ready(&self) {
        self.ready().unwrap_or_else(|why| panic!("{why}"));
    }

    /// The last lines it logged.
    pub fn log_tail(&self) -> String {
        tail(self.log())
    }

    /// Its log, which is gone with it.
    pub fn log(&self) -> &Path {
        self.daemon.log()
    }

    fn is_up(&self) -> bool {
        self.daemon.is_up()
    }

    fn ready(&self) -> Result<(), String> {
        self.daemon.ready(|| self.is_healthy())
    }

    fn start_members(binary: &Binary, size: usize, setup: &Setup, tries: u32) -> (Vec<Etcd>, Option<Links>) {
        let (members, links) = prepare(binary, size, setup);
        members.iter().for_each(Etcd::launch);
        for member in &members {
            if member.ready().is_err() && tries > 1 && member.log_tail().contains("address already in use") {
                return Etcd::start_members(binary, size, setup, tries - 1);
            }
            member.await_ready();
        }
        if let Some(users) = &setup.users {
            members[0].enable_users(users);
        }
        (members, links)
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
    let name = format!("etcd {} at 127.0.0.1:{client}", binary.version());
    let program = binary.path().to_owned();
    let daemon = Daemon::new(name, directory, move || {
        let mut command = Command::new(&program);
        clear_environment(&mut command);
        command.args(&flags);
        command
    });
    Etcd { binary: binary.clone(), setup: setup.clone(), client, status, certificates, daemon }
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

/// One URL for several servers.
fn join_urls(members: &[Etcd]) -> String {
    let endpoints: Vec<String> = members.iter().map(Etcd::endpoint).collect();
    members[0].url_at(&endpoints.join(","))
}
