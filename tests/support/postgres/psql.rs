//! Questions to a server that do not pass through the code under test.

use std::process::{Command, Output};

use super::Binary;
use crate::OpenTransaction;

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
        OpenTransaction::begin(&mut self.command("postgres"), statement)
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(self.binary.psql());
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.args(["--dbname=locks", "--host=127.0.0.1"]).arg(format!("--username={role}"));
        command.arg(format!("--port={}", self.port)).env("PGCONNECT_TIMEOUT", "30").env("PGPASSWORD", "secret");
        command
    }
}
