//! PostgreSQL servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Postgres::kill`], then [`Postgres::restart`] with the same port and data |
//! | an orderly stop | [`Postgres::shut_down`] |
//! | a hung or cut-off server | [`Postgres::pause`]: connections stay open, nothing is answered |
//! | a failover | [`Postgres::standby`], then [`Postgres::promote`] |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Postgres::address`] |
//! | another client | [`Postgres::psql`] |
//!
//! Each has the database `locks`, owned by the role `app`, and the superuser `postgres`, who need no password unless
//! [`Setup`] says so; `poor` owns nothing. Data is kept in memory where the machine has enough, and not synced.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::Certificates;
use crate::daemon::{Daemon, fast_directory};
use crate::ports;
use crate::process::tail;

mod binary;
mod pool;
mod stage;
mod template;

pub use binary::Binary;
pub use pool::Pool;

/// Somebody else may take a port between our look at it and the server's start.
const START_TRIES: u32 = 5;

/// What differs from an open server in plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Ask everybody but `postgres` for the password `secret`.
    pub passwords: bool,
    /// Refuse plain text to everybody but `postgres`, and want a client certificate.
    pub tls: bool,
    /// So many connections and no more, three of them for `postgres`; 0 for 200.
    pub connections: u32,
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Postgres {
    binary: Binary,
    setup: Setup,
    port: u16,
    data: PathBuf,
    certificates: Option<Certificates>,
    daemon: Daemon,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not come up, with the end of its log.
    pub fn start(binary: &Binary, setup: Setup) -> Postgres {
        for tries in 1.. {
            let (directory, port) = (fast_directory("locks-postgres-"), ports::free());
            template::copy(binary, directory.path());
            let server = Postgres::prepare(binary, setup, directory, port);
            server.launch();
            match server.daemon.ready(|| server.answers()) {
                Ok(()) => return server,
                Err(_) if tries < START_TRIES && server.log_tail().contains("Address already in use") => {}
                Err(why) => panic!("{why}"),
            }
        }
        unreachable!("the last try returns or panics")
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL for `Locks::connect`, with the credentials and certificates that this server asks for.
    pub fn url(&self) -> String {
        self.url_at(&self.endpoint())
    }

    /// As [`url`](Postgres::url), by another way such as a [`Proxy`](crate::proxy::Proxy), or to several servers. It ends
    /// in a parameter: append more with `&`.
    pub fn url_at(&self, authority: &str) -> String {
        let tls = self.certificates.as_ref().map_or_else(
            || "disable".to_owned(),
            |files| {
                let (ca, cert, key) = (files.ca(), files.cert(), files.key());
                format!("verify-full&ca={}&cert={}&key={}", ca.display(), cert.display(), key.display())
            },
        );
        let password = if self.setup.passwords { ":secret" } else { "" };
        format!("postgres://app{password}@{authority}/locks?sslmode={tls}")
    }

    /// What a client needs to connect with TLS, if the server has been set up for it.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// SIGKILL to all its processes: it recovers when it is started again. Returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// A fast shutdown: whoever is connected is told. Returns when it is gone.
    pub fn shut_down(&self) {
        template::run(&mut self.stop("fast"));
        self.daemon.kill();
    }

    /// SIGSTOP to all its processes: they keep their connections and answer nothing. Returns when they have stopped.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// SIGCONT after [`pause`](Postgres::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it if it runs, starts it again with its port and its data, and waits until it answers.
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
        self.daemon.ready(|| self.answers()).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Another server that follows this one and takes no writes, until it is promoted. Of its own setup it has nothing.
    pub fn standby(&self) -> Postgres {
        let (directory, port) = (fast_directory("locks-postgres-"), ports::free());
        template::own(directory.path());
        let mut command = template::as_postgres(&self.binary.program("pg_basebackup"));
        command.args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync", "--username=postgres"]);
        command.arg(format!("--host={}", Ipv4Addr::LOCALHOST)).arg(format!("--port={}", self.port));
        template::run(command.arg("--pgdata").arg(directory.path().join("data")));
        let server = Postgres::prepare(&self.binary, self.setup, directory, port);
        server.launch();
        server.await_ready();
        server
    }

    /// Makes a standby take writes. Returns when it does.
    pub fn promote(&self) {
        assert_eq!(self.psql("SELECT pg_promote()"), "t");
    }

    /// What a statement of the superuser gives, a line for each row.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn psql(&self, statement: &str) -> String {
        let output = self.ask(statement);
        assert!(output.status.success(), "{statement}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// So many statements have been carried out for `app` and `poor`, by `pg_stat_statements`.
    pub fn statements(&self) -> u64 {
        let all = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE userid <> 'postgres'::regrole";
        self.psql(all).parse().unwrap()
    }

    /// As [`statements`](Postgres::statements), of those whose text has this in it.
    pub fn statements_with(&self, text: &str) -> u64 {
        let some = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE userid <> 'postgres'::regrole";
        self.psql(&format!("{some} AND strpos(query, '{text}') > 0")).parse().unwrap()
    }

    /// The last lines it logged.
    pub fn log_tail(&self) -> String {
        tail(self.log())
    }

    /// Its log, which is gone with it.
    pub fn log(&self) -> &Path {
        self.daemon.log()
    }

    fn stop(&self, mode: &str) -> Command {
        let mut command = template::as_postgres(&self.binary.program("pg_ctl"));
        command.args(["stop", "--silent", "--mode", mode, "--pgdata"]).arg(&self.data);
        command
    }

    fn answers(&self) -> bool {
        self.ask("SELECT 1").status.success()
    }

    fn ask(&self, statement: &str) -> std::process::Output {
        let mut command = Command::new(self.binary.program("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command
            .args(["--username=postgres", "--dbname=locks", "--host=127.0.0.1"])
            .arg(format!("--port={}", self.port));
        command.env("PGCONNECT_TIMEOUT", "5").args(["--command", statement]).output().unwrap()
    }

    fn prepare(binary: &Binary, setup: Setup, directory: tempfile::TempDir, port: u16) -> Postgres {
        let data = directory.path().join("data");
        let certificates = setup.tls.then(|| Certificates::create(directory.path()));
        template::admit(&data, setup);
        let mut settings = vec![
            format!("port={port}"),
            format!("max_connections={}", if setup.connections == 0 { 200 } else { setup.connections }),
        ];
        if let Some(files) = &certificates {
            settings.push("ssl=on".to_owned());
            settings.push(format!("ssl_ca_file={}", files.ca().display()));
            settings.push(format!("ssl_cert_file={}", files.server().display()));
            settings.push(format!("ssl_key_file={}", files.server_key().display()));
        }
        template::own(directory.path());
        let (program, at) = (binary.program("postgres"), data.clone());
        let daemon = Daemon::new(format!("{} at 127.0.0.1:{port}", binary.label()), directory, move || {
            let mut command = template::as_postgres(&program);
            command.arg("-D").arg(&at);
            for setting in template::SETTINGS.iter().map(|setting| (*setting).to_owned()).chain(settings.clone()) {
                command.arg("-c").arg(setting);
            }
            command
        });
        Postgres { binary: binary.clone(), setup, port, data, certificates, daemon }
    }
}

/// One that is killed leaves its shared memory behind, until it is started again with the same data.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.daemon.resume();
        if self.daemon.is_up() {
            // Otherwise it is killed.
            let _ = self.stop("immediate").output();
        }
    }
}
