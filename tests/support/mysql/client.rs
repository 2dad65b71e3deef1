//! Questions to a server that do not pass through the code under test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use super::Binary;

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
        let mut command = self.command("admin");
        let mut client = command.arg("--unbuffered").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let script = format!("BEGIN;\n{statement};\nSELECT 'it is open';\n");
        client.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let lines = BufReader::new(client.stdout.as_mut().unwrap()).lines();
        let is_open = lines.map_while(Result::ok).any(|line| line == "it is open");
        assert!(is_open, "{statement}");
        OpenTransaction(client)
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
