//! MariaDB servers on this machine.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash, a lost machine | [`Daemon::kill`], then [`Daemon::restart`] with the same port and data |
//! | an orderly stop | [`Mysql::shut_down`] |
//! | a hung or cut-off server | [`Daemon::pause`]: connections stay open, nothing is answered |
//! | a failover | [`Mysql::replica`], then [`Mysql::promote`] |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Daemon::address`] |
//! | another client | [`Mysql::sql`], or [`Mysql::begin`] for one that stays in its transaction |
//!
//! Each has the database `locks`, in which the user `app` may do what it wants, the user `admin`, who may do all, and `poor`, who may
//! do nothing. They need no password unless [`Setup`] says so.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::time::Duration;

use tempfile::TempDir;

use crate::OpenTransaction;
use crate::cases::Program;
use crate::certificates::Certificates;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::server::{Cost, Server};

mod binary;
mod client;
mod database;
mod template;

pub use binary::Binary;
use client::Client;

/// The server's time as the table has it.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// What differs from an open server in plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// `app` needs the password `secret`.
    pub passwords: bool,
    /// `app` needs a client certificate.
    pub tls: bool,
    /// Data is on disk.
    pub on_disk: bool,
    /// Further settings of the server.
    pub settings: &'static [&'static str],
}

/// A running server. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Mysql {
    binary: Binary,
    client: Client,
    daemon: Daemon,
}

impl Mysql {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn start(binary: &Binary, setup: Setup) -> Mysql {
        let prepare = || {
            let directory = if setup.on_disk { tempfile::tempdir().unwrap() } else { fast_directory("locks-mariadb-") };
            template::copy(binary, directory.path());
            Mysql::prepare(binary, setup, directory, 1)
        };
        crate::daemon::start(prepare, |server| vec![&server.daemon])
    }

    /// An orderly stop. Returns when it is gone.
    pub fn shut_down(&self) {
        self.sql("SHUTDOWN");
        while self.is_up() && self.ended_by_itself().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Another server that follows this one, which must log what is written (`--log-bin`), and takes no writes.
    pub fn replica(&self) -> Mysql {
        let directory = fast_directory("locks-mariadb-");
        template::copy(&self.binary, directory.path());
        // It begins as this one did.
        let server = Mysql::prepare(&self.binary, Setup::default(), directory, 2);
        server.launch();
        server.await_ready();
        let (host, port) = (self.address().ip(), self.address().port());
        server.sql(&format!(
            "SET GLOBAL read_only = 1; CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USER = 'admin', \
             MASTER_USE_GTID = slave_pos; START SLAVE"
        ));
        server
    }

    /// Waits until a replica has all that this server has written.
    pub fn await_replica(&self, replica: &Mysql) {
        let position = self.sql("SELECT @@gtid_binlog_pos");
        assert_eq!(replica.sql(&format!("SELECT MASTER_GTID_WAIT('{position}', 60)")), "0", "{}", self.log_tail());
    }

    /// Makes a replica take writes.
    pub fn promote(&self) {
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0");
    }

    /// The result of statements of `admin`, a line for each row.
    ///
    /// # Panics
    ///
    /// If they fail.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_as("admin", statement).unwrap_or_else(|error| panic!("{statement}\n{error}\n{}", self.log_tail()))
    }

    /// The result of statements of another user; `Err` with what the client says if they fail.
    pub fn sql_as(&self, user: &str, statement: &str) -> Result<String, String> {
        let output = self.client.run(user, statement);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Begins a transaction of `admin` with this statement, and leaves it open until the result is dropped.
    pub fn begin(&self, statement: &str) -> OpenTransaction {
        self.client.begin(statement)
    }

    /// How many statements clients have sent that prepare theirs, as those under test do, and the client here does not.
    pub fn statements(&self) -> u64 {
        self.status("Com_stmt_execute")
    }

    /// How many of them change rows, and how many only read.
    pub fn status(&self, name: &str) -> u64 {
        let row = self.sql(&format!("SHOW GLOBAL STATUS WHERE Variable_name = '{name}'"));
        row.split('\t').nth(1).unwrap().parse().unwrap()
    }

    /// How many connections `app` has.
    pub fn connections(&self) -> usize {
        self.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'").parse().unwrap()
    }

    /// Ends all connections of `app`, as the server does with those that are idle for long.
    pub fn end_connections(&self) -> usize {
        let ids = self.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'");
        // One may have ended by itself.
        ids.lines().filter(|id| self.sql_as("admin", &format!("KILL CONNECTION {id}")).is_ok()).count()
    }

    /// How many are in the queues of the locks whose keys begin with `key`.
    pub fn waiters(&self, key: &str) -> usize {
        let sum = "SELECT COALESCE(SUM(JSON_LENGTH(queue)), 0) FROM distributed_locks WHERE queue <> ''";
        self.sql(&format!("{sum} AND LEFT(name, {}) = '{key}'", key.len())).parse().unwrap()
    }

    fn prepare(binary: &Binary, setup: Setup, directory: TempDir, server_id: u32) -> Mysql {
        let (data, port) = (directory.path().join("data"), ports::free());
        let certificates = setup.tls.then(|| Certificates::create(directory.path()));
        let mut further = vec![
            format!("--port={port}"),
            format!("--socket={}", directory.path().join("socket").display()),
            format!("--pid-file={}", directory.path().join("pid").display()),
            format!("--server-id={server_id}"),
            "--report-host=127.0.0.1".to_owned(),
            // A server that starts deletes what others have in the directory that they would share.
            format!("--tmpdir={}", directory.path().display()),
        ];
        further.extend(setup.settings.iter().map(|setting| (*setting).to_owned()));
        if let Some(files) = &certificates {
            further.push(format!("--ssl-ca={}", files.ca().display()));
            further.push(format!("--ssl-cert={}", files.server().display()));
            further.push(format!("--ssl-key={}", files.server_key().display()));
        }
        let init = directory.path().join("init.sql");
        let user = match setup {
            Setup { tls: true, .. } => "ALTER USER app@'%' REQUIRE X509;\n",
            Setup { passwords: true, .. } => "ALTER USER app@'%' IDENTIFIED BY 'secret';\n",
            _ => "SELECT 1;\n",
        };
        fs::write(&init, user).unwrap();
        further.push(format!("--init-file={}", init.display()));
        let (client, own) = (Client::at(binary, port), binary.clone());
        let daemon = Daemon::new(Launch {
            name: format!("{} at 127.0.0.1:{port}", binary.label()),
            directory,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            url: ClientUrl {
                scheme: "mysql",
                login: format!("app{}@", if setup.passwords { ":secret" } else { "" }),
                path: "/locks",
                parameters: format!("sslmode={}", if setup.tls { "verify-full" } else { "disable" }),
                certificates,
            },
            command: Box::new(move || {
                let mut command = template::server(&own, &data);
                command.args(&further);
                command
            }),
            answers: Box::new({
                let client = client.clone();
                move || client.answers()
            }),
        });
        Mysql { binary: binary.clone(), client, daemon }
    }
}

impl Deref for Mysql {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for Mysql {
    const DELETED: &'static str = "gone from the store";

    /// The holder and the waiters of every row.
    fn left(&self, key: &str) -> Vec<String> {
        let begins = format!("LEFT(name, {}) = '{key}'", key.len());
        let rows = self.sql(&format!(
            "SELECT CONCAT(name, ' is held') FROM distributed_locks WHERE {begins} AND locked_until > {NOW} \
             UNION ALL SELECT CONCAT(name, ' is waited for: ', queue) FROM distributed_locks WHERE {begins} AND queue <> ''"
        ));
        rows.lines().map(str::to_owned).collect()
    }

    fn record(&self, key: &str) -> String {
        self.sql(&format!("SELECT holder FROM distributed_locks WHERE name = '{key}'"))
    }

    fn lapse(&self, key: &str) -> Duration {
        let micros = self.sql(&format!("SELECT locked_until - {NOW} FROM distributed_locks WHERE name = '{key}'"));
        Duration::from_micros(micros.parse().unwrap())
    }

    fn delete(&self, key: &str) {
        self.sql(&format!("DELETE FROM distributed_locks WHERE name = '{key}'"));
    }

    fn cost(&self) -> Cost {
        Cost::from([("statements".to_owned(), self.statements())])
    }
}
