//! Questions to a server that do not pass through the code under test.

use std::process::{Command, Output};

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
        let mut command = Command::new(self.binary.program("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.args(["--username=postgres", "--dbname=locks", "--host=127.0.0.1"]);
        command.arg(format!("--port={}", self.port));
        command.env("PGCONNECT_TIMEOUT", "30").args(["--command", statement]).output().unwrap()
    }
}
