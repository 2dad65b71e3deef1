//! Questions to a server that do not pass through the code under test.

use std::process::{Command, Output};

use super::Binary;
use crate::OpenTransaction;

/// MariaDB's own client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    binary: Binary,
    port: u16,
}

impl Client {
    pub(super) fn at(binary: &Binary, port: u16) -> Client {
        Client { binary: binary.clone(), port }
    }

    pub(super) fn answers(&self) -> bool {
        self.run("admin", "SELECT 1").status.success()
    }

    pub(super) fn run(&self, user: &str, statement: &str) -> Output {
        self.command(user).args(["--execute", statement]).output().unwrap()
    }

    /// Begins a transaction with this statement, and leaves it open.
    pub(super) fn begin(&self, statement: &str) -> OpenTransaction {
        OpenTransaction::begin(self.command("admin").arg("--unbuffered"), statement)
    }

    fn command(&self, user: &str) -> Command {
        let mut command = Command::new(self.binary.program("mariadb"));
        command.args([
            "--no-defaults",
            "--batch",
            "--skip-column-names",
            "--raw",
            "--protocol=tcp",
            "--host=127.0.0.1",
        ]);
        command.args(["--connect-timeout=30", "--database=locks"]);
        command.arg(format!("--user={user}")).arg(format!("--port={}", self.port));
        command
    }
}
