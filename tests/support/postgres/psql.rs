//! Questions to a server that do not pass through the code under test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use super::Binary;

/// PostgreSQL's own client, as the superuser.
#[derive(Clone, Debug)]
pub(super) struct Psql {
    binary: Binary,
    port: u16,
}

impl Psql {
    pub(super) fn at(binary: &Binary, port: u16) -> Psql {
        Psql { binary: binary.clone(), port }
    }

    pub(super) fn answers(&self) -> bool {
        self.run("SELECT 1").status.success()
    }

    pub(super) fn run(&self, statement: &str) -> Output {
        self.command("postgres").args(["--command", statement]).output().unwrap()
    }

    pub(super) fn run_as(&self, role: &str, statement: &str) -> Output {
        self.command(role).args(["--command", statement]).output().unwrap()
    }

    /// Begins a transaction with this statement, and leaves it open.
    pub(super) fn begin(&self, statement: &str) -> OpenTransaction {
        let mut command = self.command("postgres");
        let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let script = format!("BEGIN; {statement};\n\\echo it is open\n");
        psql.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let lines = BufReader::new(psql.stdout.as_mut().unwrap()).lines();
        let is_open = lines.map_while(Result::ok).any(|line| line == "it is open");
        assert!(is_open, "{statement}");
        OpenTransaction(psql)
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(self.binary.psql());
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.args(["--dbname=locks", "--host=127.0.0.1"]).arg(format!("--username={role}"));
        command.arg(format!("--port={}", self.port)).env("PGCONNECT_TIMEOUT", "30").env("PGPASSWORD", "secret");
        command
    }
}

/// A transaction of somebody else that stays open: rolled back by `Drop`.
#[derive(Debug)]
pub struct OpenTransaction(Child);

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // At the end of its input it ends, and so does its session.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
