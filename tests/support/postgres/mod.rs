//! PostgreSQL servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Daemon::kill`], then [`Daemon::restart`] with the same port and data |
//! | an orderly stop | [`Postgres::shut_down`] |
//! | a hung or cut-off server | [`Daemon::pause`]: connections stay open, nothing is answered |
//! | a failover | [`Postgres::standby`], then [`Postgres::promote`] |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Daemon::address`] |
//! | another client | [`Postgres::psql`], or [`Postgres::begin`] for one that stays in its transaction |
//!
//! Each has the database `locks`, owned by the role `app`, and the superuser `postgres`, who need no password unless
//! [`Setup`] says so; the role `poor` owns nothing. Data is kept in memory where the machine has enough, and not synced, but with
//! [`Setup::fsync`].

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::OpenTransaction;
use crate::cases::Program;
use crate::certificates::Certificates;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::server::{Cost, Server};

mod binary;
mod database;
mod pool;
mod psql;
mod template;

pub use binary::Binary;
pub use pool::Pool;
use psql::Psql;

/// What differs from an open server in plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Ask every role but `postgres` for the password `secret`.
    pub passwords: bool,
    /// Refuse plain text to every role but `postgres`, and require a client certificate.
    pub tls: bool,
    /// The limit of connections, three of which are for `postgres`; 0 for 200.
    pub connections: u32,
    /// Data is on disk, and each commit is synced.
    pub fsync: bool,
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Postgres {
    binary: Binary,
    setup: Setup,
    data: PathBuf,
    psql: Psql,
    daemon: Daemon,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn start(binary: &Binary, setup: Setup) -> Postgres {
        let prepare = || {
            let directory = if setup.fsync { tempfile::tempdir().unwrap() } else { fast_directory("locks-postgres-") };
            template::copy(binary, directory.path());
            Postgres::prepare(binary, setup, directory)
        };
        crate::daemon::start(prepare, |server| vec![&server.daemon])
    }

    /// A fast shutdown: whoever is connected is notified. Returns when it is gone.
    pub fn shut_down(&self) {
        template::run(&mut self.stop("fast"));
        self.kill();
    }

    /// Another server that follows this one and takes no writes, until it is promoted. It has nothing of its own setup.
    pub fn standby(&self) -> Postgres {
        let directory = fast_directory("locks-postgres-");
        // This one began as such a copy, and has kept all that it has written since.
        template::copy(&self.binary, directory.path());
        template::follow(&directory.path().join("data"), self.address());
        let server = Postgres::prepare(&self.binary, self.setup, directory);
        server.launch();
        server.await_ready();
        server
    }

    /// Makes a standby take writes. Returns when it does.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn promote(&self) {
        // What the standby replays meanwhile may be in the statement's way, which is then cancelled.
        let is_promoted = || self.psql_as("postgres", "SELECT pg_is_in_recovery()").as_deref() == Ok("f");
        let told = (0..10).map(|_| self.psql_as("postgres", "SELECT pg_promote()")).find(|_| is_promoted());
        assert!(told.is_some(), "still a standby\n{}", self.psql("SELECT pg_is_in_recovery()"));
    }

    /// The result of a statement of the superuser, a line for each row.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn psql(&self, statement: &str) -> String {
        let output = self.psql.run(statement);
        assert!(output.status.success(), "{statement}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The result of a statement of another role; `Err` with what psql says if it fails.
    pub fn psql_as(&self, role: &str, statement: &str) -> Result<String, String> {
        let output = self.psql.run_as(role, statement);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Begins a transaction of the superuser with this statement, and leaves it open until the result is dropped.
    pub fn begin(&self, statement: &str) -> OpenTransaction {
        self.psql.begin(statement)
    }

    /// How many statements have been carried out for `app` and `poor`, by `pg_stat_statements`.
    pub fn statements(&self) -> u64 {
        self.statements_with("")
    }

    /// As [`statements`](Postgres::statements), of those whose text has this in it.
    pub fn statements_with(&self, text: &str) -> u64 {
        let some = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE userid <> 'postgres'::regrole";
        self.psql(&format!("{some} AND (strpos(query, '{text}') > 0 OR '{text}' = '')")).parse().unwrap()
    }

    /// How many are in the queues of the locks whose keys begin with `key`.
    pub fn waiters(&self, key: &str) -> usize {
        let sum = "SELECT coalesce(sum(jsonb_array_length(queue)), 0) FROM distributed_locks";
        self.psql(&format!("{sum} WHERE starts_with(name, '{key}')")).parse().unwrap()
    }

    /// How many bytes the log of all changes has.
    pub fn log_bytes(&self) -> u64 {
        self.psql("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").parse().unwrap()
    }

    fn stop(&self, mode: &str) -> Command {
        let mut command = template::as_postgres(&self.binary.program("pg_ctl"));
        command.args(["stop", "--silent", "--mode", mode, "--pgdata"]).arg(&self.data);
        command
    }

    fn prepare(binary: &Binary, setup: Setup, directory: TempDir) -> Postgres {
        let (data, port) = (directory.path().join("data"), ports::free());
        let certificates = setup.tls.then(|| Certificates::create(directory.path()));
        template::admit(&data, setup);
        template::own(directory.path());
        let mut settings: Vec<String> = template::SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
        settings.push(format!("port={port}"));
        settings.push(format!("fsync={}", if setup.fsync { "on" } else { "off" }));
        settings.push(format!("max_connections={}", if setup.connections == 0 { 200 } else { setup.connections }));
        settings.extend(certificates.iter().flat_map(tls_settings));
        let (program, at, psql) = (binary.program("postgres"), data.clone(), Psql::at(binary, port));
        let daemon = Daemon::new(Launch {
            name: format!("{} at 127.0.0.1:{port}", binary.label()),
            directory,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            url: ClientUrl {
                scheme: "postgres",
                login: format!("app{}@", if setup.passwords { ":secret" } else { "" }),
                path: "/locks",
                parameters: format!("sslmode={}", if setup.tls { "verify-full" } else { "disable" }),
                certificates,
            },
            command: Box::new(move || {
                let mut command = template::as_postgres(&program);
                command.arg("-D").arg(&at);
                command.args(settings.iter().flat_map(|setting| ["-c", setting]));
                command
            }),
            answers: Box::new({
                let psql = psql.clone();
                move || psql.answers()
            }),
        });
        Postgres { binary: binary.clone(), setup, data, psql, daemon }
    }
}

fn tls_settings(files: &Certificates) -> [String; 4] {
    [
        "ssl=on".to_owned(),
        format!("ssl_ca_file={}", files.ca().display()),
        format!("ssl_cert_file={}", files.server().display()),
        format!("ssl_key_file={}", files.server_key().display()),
    ]
}

/// One that is killed leaves its shared memory behind, until it is started again with the same data.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.resume();
        if self.is_up() {
            // Otherwise it is killed.
            let _ = self.stop("immediate").output();
        }
    }
}

impl Deref for Postgres {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for Postgres {
    const DELETED: &'static str = "gone from the store";

    /// The holder and the waiters of every row.
    fn left(&self, key: &str) -> Vec<String> {
        let rows = self.psql(&format!(
            "SELECT name || ' is held' FROM distributed_locks \
             WHERE starts_with(name, '{key}') AND locked_until > clock_timestamp() \
             UNION ALL SELECT name || ' is waited for' FROM distributed_locks, jsonb_array_elements(queue) \
             WHERE starts_with(name, '{key}')"
        ));
        rows.lines().map(str::to_owned).collect()
    }

    fn record(&self, key: &str) -> String {
        self.psql(&format!("SELECT holder FROM distributed_locks WHERE name = '{key}'"))
    }

    fn lapse(&self, key: &str) -> Duration {
        let seconds = self.psql(&format!(
            "SELECT extract(epoch FROM locked_until - clock_timestamp()) FROM distributed_locks WHERE name = '{key}'"
        ));
        Duration::from_secs_f64(seconds.parse().unwrap())
    }

    fn delete(&self, key: &str) {
        self.psql(&format!("DELETE FROM distributed_locks WHERE name = '{key}'"));
    }

    fn cost(&self) -> Cost {
        Cost::from([("statements".to_owned(), self.statements())])
    }
}
