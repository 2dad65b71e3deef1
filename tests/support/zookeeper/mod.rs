//! ZooKeeper servers on this machine, alone or as an ensemble.
//!
//! They count in ticks of half a second, so that sessions may be as short as one; [`Setup::longest`] bounds them. They
//! are asked by commands of four letters, and by ZooKeeper's own command line.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificates::Certificates;
pub use crate::certificates::ServerCertificate;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::server::{Cost, Server};

mod install;
mod questions;

pub use install::{Installed, source};
use questions::FourLetters;
pub use questions::create;

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The longest timeout of a session that it grants.
    pub longest: Duration,
    /// Offer TLS, and require a client certificate there.
    pub tls: bool,
    /// For how many ticks a follower goes on without its leader.
    pub sync_limit: u32,
    /// How many connections one host may have; 0 is any number.
    pub connections: u32,
    /// How often empty containers are looked for: by itself every minute.
    pub containers: Option<Duration>,
    /// Keep the data on disk, and sync it, with a heap and a compiler for many clients: as in production, and slower.
    pub fsync: bool,
}

impl Default for Setup {
    /// In the clear; sessions may be as long as the protocol can say.
    fn default() -> Setup {
        Setup {
            longest: Duration::from_millis(i32::MAX as u64),
            tls: false,
            sync_limit: 4,
            connections: 0,
            containers: None,
            fsync: false,
        }
    }
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct ZooKeeper {
    program: Installed,
    plain: SocketAddr,
    four_letters: FourLetters,
    daemon: Daemon,
}

impl ZooKeeper {
    /// Starts a server and waits until it answers.
    pub fn start(program: &Installed, setup: &Setup) -> ZooKeeper {
        ZooKeeper::start_ensemble(program, 1, setup).remove(0)
    }

    /// Starts so many servers that elect a leader, and waits until all of them answer.
    ///
    /// # Panics
    ///
    /// If they do not start, with the end of a log.
    pub fn start_ensemble(program: &Installed, size: usize, setup: &Setup) -> Vec<ZooKeeper> {
        let prepare = || prepare(program, size, setup);
        crate::daemon::start(prepare, |servers| servers.iter().map(|server| &server.daemon).collect())
    }

    /// Where it answers without TLS; if it was not set up for TLS, the same as [`address`](Daemon::address).
    pub fn plain(&self) -> SocketAddr {
        self.plain
    }
}

impl Deref for ZooKeeper {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for ZooKeeper {
    const DELETED: &'static str = "deleted";
    const WORKS_AFTER_A_FORK: bool = false;

    /// A follower tells the leader of its clients late: so a session gets more time than its TTL.
    fn lapses_after(ttl: Duration) -> Duration {
        ttl + (ttl / 10).max(Duration::from_secs(1))
    }

    fn left(&self, key: &str) -> Vec<String> {
        self.ephemerals(key)
    }

    fn record(&self, key: &str) -> String {
        self.command_line(&["get", &self.ephemerals(key)[0]])
    }

    /// How long the session whose entry it is goes on, without what the end of a tick adds.
    fn lapse(&self, key: &str) -> Duration {
        self.expires_in(&self.owner(key).unwrap()).saturating_sub(Duration::from_millis(500))
    }

    fn delete(&self, key: &str) {
        self.command_line(&["delete", &self.ephemerals(key)[0]]);
    }

    /// Requests of clients, pings among them, and transactions: what costs an fsync on every server.
    fn cost(&self) -> Cost {
        Cost::from([("requests".to_owned(), self.requests()), ("transactions".to_owned(), self.zxid())])
    }
}

impl ZooKeeper {
    /// Stops it, forgets all its data, and starts it again.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn restart_without_data(&self) {
        self.kill();
        self.forget_data();
        self.restart();
    }

    /// Forgets all data of a server that does not run.
    pub fn forget_data(&self) {
        fs::remove_dir_all(self.log().parent().unwrap().join("version-2")).unwrap();
    }

    /// Gives it other certificates, and starts it again with them.
    ///
    /// # Panics
    ///
    /// As [`restart_without_data`](Self::restart_without_data).
    pub fn restart_with(&self, server: ServerCertificate) {
        let files = self.certificates().unwrap();
        files.replace_server(server);
        write_both(self.log().parent().unwrap(), files);
        self.restart();
    }
}

/// The URL of all servers together.
pub fn url(servers: &[ZooKeeper]) -> String {
    let endpoints: Vec<String> = servers.iter().map(|server| server.endpoint()).collect();
    servers[0].url_at(&endpoints.join(","))
}

/// All servers with their files, none running.
fn prepare(program: &Installed, size: usize, setup: &Setup) -> Vec<ZooKeeper> {
    let mut peers = String::new();
    for number in 1..=size {
        let (quorum, election) = (ports::free(), ports::free());
        writeln!(peers, "server.{number}=127.0.0.1:{quorum}:{election}").unwrap();
    }
    if size == 1 {
        peers.clear();
    }
    (1..=size).map(|number| prepare_one(program, number, &peers, setup)).collect()
}

fn prepare_one(program: &Installed, number: usize, peers: &str, setup: &Setup) -> ZooKeeper {
    let fsync = setup.fsync;
    let directory = if fsync { tempfile::tempdir().unwrap() } else { fast_directory("locks-zookeeper-") };
    let path = directory.path().to_owned();
    let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let tls = setup.tls.then(|| (SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())), Certificates::create(&path)));
    let mut lines = format!(
        "tickTime=500\ninitLimit=8\nsyncLimit={syncs}\ndataDir={data}\nclientPort={client}\n\
         clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns={connections}\n\
         enforceQuota=true\nminSessionTimeout=1000\nmaxSessionTimeout={longest}\n{peers}",
        syncs = setup.sync_limit,
        connections = setup.connections,
        data = path.display(),
        client = plain.port(),
        longest = setup.longest.as_millis(),
    );
    if let Some((address, files)) = &tls {
        secure(&mut lines, &path, files, address.port());
    }
    fs::write(path.join("myid"), number.to_string()).unwrap();
    fs::write(path.join("zoo.cfg"), lines).unwrap();
    let (address, certificates) = tls.map_or((plain, None), |(address, files)| (address, Some(files)));
    let (java, four_letters) = (program.clone(), FourLetters::at(plain));
    let containers = setup.containers;
    let daemon = Daemon::new(Launch {
        name: format!("ZooKeeper at {plain}"),
        directory,
        address,
        url: ClientUrl {
            scheme: if setup.tls { "zookeepers" } else { "zookeeper" },
            certificates,
            ..ClientUrl::default()
        },
        command: Box::new(move || {
            let mut command = java.java(&[]);
            command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "JAVA_HOME"));
            if fsync {
                // The last one counts.
                command.args(["-Xmx1g", "-XX:TieredStopAtLevel=4"]);
            } else {
                // Nothing is synced, and the log does not take 64 MB at once.
                command.args(["-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=64"]);
            }
            // A member that missed an election tells its vote again soon, and not after a minute.
            command.arg("-Dzookeeper.fastleader.maxNotificationInterval=2000");
            command.args(containers.map(|every| format!("-Dznode.container.checkIntervalMs={}", every.as_millis())));
            command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(path.join("zoo.cfg"));
            command
        }),
        answers: Box::new({
            let four_letters = four_letters.clone();
            move || four_letters.serves()
        }),
    });
    ZooKeeper { program: program.clone(), plain, four_letters, daemon }
}

/// What a server needs for TLS, which it speaks by Netty only.
fn secure(lines: &mut String, directory: &Path, files: &Certificates, port: u16) {
    let both = write_both(directory, files);
    write!(
        lines,
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\nsecureClientPort={port}\n\
         secureClientPortAddress=127.0.0.1\nssl.clientAuth=need\nssl.keyStore.type=PEM\nssl.trustStore.type=PEM\n\
         ssl.keyStore.location={}\nssl.trustStore.location={}\n",
        both.display(),
        files.ca().display(),
    )
    .unwrap();
}

/// Key and certificate in one file, as ZooKeeper reads them.
fn write_both(directory: &Path, files: &Certificates) -> PathBuf {
    let both = directory.join("server-both.pem");
    let read = |path| fs::read_to_string(path).unwrap();
    fs::write(&both, read(files.server_key()) + &read(files.server())).unwrap();
    both
}
