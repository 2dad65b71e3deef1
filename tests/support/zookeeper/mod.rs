//! ZooKeeper servers on this machine, alone or as an ensemble.
//!
//! They count in ticks of half a second, so that sessions may be as short as one; [`Setup::longest`] bounds them. What
//! they did is asked for by their commands of four letters: [`ZooKeeper::count`], [`ZooKeeper::zxid`].

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::daemon::{Daemon, fast_directory};
use crate::ports;

mod install;

pub use install::{Installed, source};

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The longest timeout of a session that it grants.
    pub longest: Duration,
    /// Offer TLS, and require a client certificate there.
    pub tls: bool,
}

impl Default for Setup {
    /// In the clear; sessions may be as long as the protocol can say.
    fn default() -> Setup {
        Setup { longest: Duration::from_millis(i32::MAX as u64), tls: false }
    }
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct ZooKeeper {
    client: u16,
    secure: Option<(u16, Certificates)>,
    /// How often it was asked by [`command`](ZooKeeper::command), which it counts as requests.
    commands: AtomicU64,
    daemon: Daemon,
}

/// Somebody else may take a port between our look at it and the server's start.
const START_TRIES: u32 = 3;

impl ZooKeeper {
    /// Starts a server and waits until it answers.
    pub fn start(program: &Installed, setup: &Setup) -> ZooKeeper {
        ZooKeeper::start_ensemble(program, 1, setup).remove(0)
    }

    /// Starts so many servers that elect a leader, and waits until all of them answer.
    ///
    /// # Panics
    ///
    /// If they do not come up, with the end of a log.
    pub fn start_ensemble(program: &Installed, size: usize, setup: &Setup) -> Vec<ZooKeeper> {
        let mut tries = START_TRIES;
        loop {
            let servers = prepare(program, size, setup);
            servers.iter().for_each(|server| server.daemon.launch());
            let failed = servers.iter().find_map(|server| server.daemon.ready(|| server.serves()).err());
            match failed {
                None => return servers,
                // A first election among servers that start slowly may go wrong, and takes long to be given up.
                Some(why) if tries > 1 && (size > 1 || why.contains("already in use")) => tries -= 1,
                Some(why) => panic!("{why}"),
            }
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client).into()
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    /// The URL for `Locks::connect`.
    pub fn url(&self) -> String {
        format!("zookeeper://{}", self.endpoint())
    }

    /// The URL for `Locks::connect` with TLS, where it was set up, and its certificates.
    pub fn secure(&self) -> (String, &Certificates) {
        let (port, files) = self.secure.as_ref().unwrap();
        let (ca, cert, key) = (files.ca(), files.cert(), files.key());
        let query = format!("ca={}&cert={}&key={}", ca.display(), cert.display(), key.display());
        (format!("zookeepers://127.0.0.1:{port}?{query}"), files)
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// SIGCONT after [`pause`](ZooKeeper::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Starts it again after [`kill`](ZooKeeper::kill), with its ports and its data, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not, with the end of its log.
    pub fn restart(&self) {
        self.daemon.launch();
        self.daemon.ready(|| self.serves()).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Its log, which is gone with it.
    pub fn log(&self) -> &Path {
        self.daemon.log()
    }

    /// A number from `mntr`, such as `zk_packets_received` or `zk_watch_count`.
    ///
    /// # Panics
    ///
    /// If it does not answer, or has no such number.
    pub fn count(&self, name: &str) -> u64 {
        let answer = self.command("mntr").unwrap();
        let number = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small whole numbers")]
        number.map_or_else(|| panic!("no {name} in {answer}"), |number| number as u64)
    }

    /// How many requests clients have sent, pings among them, and our own commands not.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn requests(&self) -> u64 {
        self.count("zk_packets_received") - self.commands.load(Ordering::Relaxed)
    }

    /// The number of the last transaction: what costs an fsync on every server.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn zxid(&self) -> u64 {
        let answer = self.command("srvr").unwrap();
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
        u64::from_str_radix(zxid, 16).unwrap()
    }

    /// The paths of all ephemeral nodes under one, in order.
    ///
    /// # Panics
    ///
    /// If it does not answer. Of an ensemble only the leader knows.
    pub fn ephemerals(&self, under: &str) -> Vec<String> {
        let dump = self.command("dump").unwrap();
        let paths = dump.lines().filter_map(|line| line.strip_prefix('\t')).filter(|path| path.starts_with(under));
        let mut paths: Vec<String> = paths.map(str::to_owned).collect();
        paths.sort_unstable();
        paths
    }

    /// The session that owns the first ephemeral node whose path begins so.
    ///
    /// # Panics
    ///
    /// If it does not answer. Of an ensemble only the leader knows.
    pub fn owner(&self, path: &str) -> Option<String> {
        let dump = self.command("dump").unwrap();
        let mut session = None;
        for line in dump.lines() {
            match line.strip_prefix('\t') {
                Some(owned) if owned.starts_with(path) => return session,
                Some(_) => {}
                None => session = Some(line.to_owned()),
            }
        }
        None
    }

    /// Whether it leads an ensemble.
    pub fn leads(&self) -> bool {
        self.daemon.is_up() && self.command("srvr").is_some_and(|answer| answer.contains("Mode: leader"))
    }

    /// What it answers to a command of four letters.
    pub fn command(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(command.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        self.commands.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    fn serves(&self) -> bool {
        self.command("srvr").is_some_and(|answer| answer.contains("Mode: "))
    }
}

/// The URL of all servers together.
pub fn url(servers: &[ZooKeeper]) -> String {
    let endpoints: Vec<String> = servers.iter().map(ZooKeeper::endpoint).collect();
    format!("zookeeper://{}", endpoints.join(","))
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
    let directory = fast_directory("locks-zookeeper-");
    let path = directory.path().to_owned();
    let client = ports::free();
    let longest = setup.longest.as_millis();
    let mut lines = format!(
        "tickTime=500\ninitLimit=8\nsyncLimit=4\ndataDir={data}\nclientPort={client}\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\nminSessionTimeout=1000\n\
         maxSessionTimeout={longest}\n{peers}",
        data = path.display(),
    );
    let secure = setup.tls.then(|| {
        let (certificates, port) = (Certificates::create(&path), ports::free());
        secure(&mut lines, &path, &certificates, port);
        (port, certificates)
    });
    fs::write(path.join("myid"), number.to_string()).unwrap();
    fs::write(path.join("zoo.cfg"), lines).unwrap();
    let program = program.clone();
    let daemon = Daemon::new(format!("ZooKeeper at 127.0.0.1:{client}"), directory, move || {
        let mut command = program.java(&[]);
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "JAVA_HOME"));
        command
            // Nothing is synced, and the log does not take 64 MB at once.
            .args(["-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=64"])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(path.join("zoo.cfg"));
        command
    });
    ZooKeeper { client, secure, commands: AtomicU64::new(0), daemon }
}

/// What a server needs for TLS, which it speaks by Netty only.
fn secure(lines: &mut String, directory: &Path, files: &Certificates, port: u16) {
    let both = directory.join("server-both.pem");
    let read = |path| fs::read_to_string(path).unwrap();
    fs::write(&both, read(files.server_key()) + &read(files.server())).unwrap();
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
