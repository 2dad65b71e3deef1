//! A transaction of somebody else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// A transaction of a database's own client that stays open: rolled back by `Drop`.
#[derive(Debug)]
pub struct OpenTransaction(Child);

impl OpenTransaction {
    /// Begins a transaction of this client with this statement, and leaves it open.
    pub(crate) fn begin(client: &mut Command, statement: &str) -> OpenTransaction {
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let script = format!("BEGIN;\n{statement};\nSELECT 'it is open';\n");
        client.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let lines = BufReader::new(client.stdout.as_mut().unwrap()).lines();
        let is_open = lines.map_while(Result::ok).any(|line| line == "it is open");
        assert!(is_open, "{statement}");
        OpenTransaction(client)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // At the end of its input it ends, and so does its session.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
