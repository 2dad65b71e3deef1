//! A disk that takes long to confirm a write.
//!
//! strace delays the system calls by which a server waits for its disk, and nothing else: the server itself goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Etcd;
use crate::programs::can_trace;

/// A server whose disk is slow, until this is dropped.
#[derive(Debug)]
pub struct SlowDisk(Child);

impl Etcd {
    /// Whether this machine has strace, and lets it trace a server.
    pub fn can_slow_disk() -> bool {
        can_trace()
    }

    /// Lets every fdatasync and fsync of this server take so much longer. Returns when that is in effect.
    ///
    /// # Panics
    ///
    /// Unless strace can be used, or if the server does not run.
    pub fn slow_disk(&self, delay: Duration) -> SlowDisk {
        let pid = self.pid().load(std::sync::atomic::Ordering::Acquire);
        let delay = format!("inject=fdatasync,fsync:delay_enter={}", delay.as_micros());
        let mut strace = Command::new("strace")
            .args(["-f", "-e", "trace=fdatasync,fsync", "-e", &delay, "-e", "signal=none", "-o", "/dev/null", "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(strace.stderr.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "strace: {said}");
        // It would wait for whoever reads its further lines.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        SlowDisk(strace)
    }
}

impl Drop for SlowDisk {
    /// strace detaches from the server when it ends, however it ends.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
