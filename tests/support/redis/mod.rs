//! Redis and Valkey servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Redis::kill`], then [`Redis::restart`] with the same port, and the data that [`Setup::durable`] kept |
//! | a hung or cut-off server | [`Redis::pause`]: connections stay open, nothing is answered |
//! | a failover | a second server with `replicaof`, promoted by `REPLICAOF NO ONE` |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Redis::address`] |
//! | another client | [`Redis::ask`] |

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::certificates::Certificates;
use crate::daemon::{Daemon, fast_directory};
use crate::ports;
use crate::process::tail;

mod binary;
mod talk;

pub use binary::Binary;
pub use talk::{Answer, Counts};

/// Somebody else may take a port between our look at it and the server's start.
const START_TRIES: u32 = 5;

/// What differs from a server with Redis' defaults, in the clear, open to everybody, that forgets all when it ends.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Require TLS with a client certificate.
    pub tls: bool,
    /// Require this password of everybody.
    pub password: Option<String>,
    /// Keep the data over a restart, each write before it is acknowledged.
    pub durable: bool,
    /// Further settings, such as `["--replicaof", "127.0.0.1 6379"]`.
    pub flags: Vec<String>,
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Redis {
    setup: Setup,
    port: u16,
    tls_port: u16,
    certificates: Option<Certificates>,
    daemon: Daemon,
}

impl Redis {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not come up, with the end of its log.
    pub fn start(binary: &Binary, setup: &Setup) -> Redis {
        for _ in 1..START_TRIES {
            let redis = Redis::prepare(binary, setup);
            redis.daemon.launch();
            match redis.ready() {
                Ok(()) => return redis,
                Err(why) if why.contains("Address already in use") => {}
                Err(why) => panic!("{why}"),
            }
        }
        panic!("no free port")
    }

    /// Where clients connect to in the clear.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where clients connect to with TLS.
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// The URL for `Locks::connect`, with the password and certificates that this server asks for.
    pub fn url(&self) -> String {
        let address = if self.setup.tls { self.tls_address() } else { self.address() };
        self.url_at(&address.to_string())
    }

    /// As [`url`](Redis::url), by another way such as a [`Proxy`](crate::proxy::Proxy).
    pub fn url_at(&self, authority: &str) -> String {
        let login = self.setup.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        match &self.certificates {
            None => format!("redis://{login}{authority}"),
            Some(files) => {
                let (ca, cert, key) = (files.ca(), files.cert(), files.key());
                let query = format!("ca={}&cert={}&key={}", ca.display(), cert.display(), key.display());
                format!("rediss://{login}{authority}?{query}")
            }
        }
    }

    /// What a client needs to connect with TLS, if the server has been set up for it.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Sends one command, as in `ask(&["SET", "a", "1", "NX"])`.
    ///
    /// # Panics
    ///
    /// If the server refuses, with what it said.
    pub fn ask(&self, command: &[&str]) -> Answer {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// As [`ask`](Redis::ask), for what may be refused.
    ///
    /// # Errors
    ///
    /// What the server said, or why it does not answer.
    pub fn try_ask(&self, command: &[&str]) -> Result<Answer, String> {
        talk::ask(self.address(), self.setup.password.as_deref(), command)
    }

    /// All keys that match the pattern, sorted.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let Answer::List(keys) = self.ask(&["KEYS", pattern]) else { panic!("no list") };
        let mut keys: Vec<String> = keys.into_iter().filter_map(Answer::text).collect();
        keys.sort();
        keys
    }

    /// What the server has counted so far.
    pub fn counts(&self) -> Counts {
        Counts::parse(&self.ask(&["INFO", "commandstats"]).text().unwrap())
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// SIGSTOP: it keeps its connections and answers nothing. Returns when it has stopped.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// SIGCONT after [`pause`](Redis::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it if it runs, starts it again with its port, and waits until it answers.
    pub fn restart(&self) {
        self.kill();
        self.daemon.launch();
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

    fn ready(&self) -> Result<(), String> {
        self.daemon.ready(|| self.try_ask(&["PING"]).is_ok())
    }

    /// A server with its flags that does not run.
    fn prepare(binary: &Binary, setup: &Setup) -> Redis {
        let directory = fast_directory("locks-redis-");
        let certificates = setup.tls.then(|| Certificates::create(directory.path()));
        let (port, tls_port) = (ports::free(), ports::free());
        let appendonly = if setup.durable { "yes" } else { "no" };
        let mut flags: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendfsync", "always"].map(Into::into).into();
        flags.extend(["--port".into(), port.to_string(), "--appendonly".into(), appendonly.into()]);
        flags.extend(["--dir".into(), directory.path().display().to_string()]);
        if let Some(files) = &certificates {
            let file = |path: &Path| path.display().to_string();
            flags.extend(["--tls-port".into(), tls_port.to_string(), "--tls-ca-cert-file".into(), file(&files.ca())]);
            flags.extend([
                "--tls-cert-file".into(),
                file(&files.server()),
                "--tls-key-file".into(),
                file(&files.server_key()),
            ]);
        }
        if let Some(password) = &setup.password {
            flags.extend(["--requirepass".into(), password.clone()]);
        }
        flags.extend(setup.flags.iter().cloned());
        let program = binary.path().to_owned();
        let daemon = Daemon::new(format!("{} at 127.0.0.1:{port}", program.display()), directory, move || {
            let mut command = Command::new(&program);
            command.args(&flags);
            command
        });
        Redis { setup: setup.clone(), port, tls_port, certificates, daemon }
    }
}
