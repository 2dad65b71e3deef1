//! What the tests of the program share: a store of its own for each, and processes that do not outlive the test.

#![expect(clippy::disallowed_methods, reason = "limits of tests, on the clock of tests")]
#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// After this long something hangs, however busy the machine is.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A `file:` store, and room for what commands write.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.directory.path().join("locks").display())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `locks ARG…`, with a variable D for the place's directory.
    pub(crate) fn locks(&self, arguments: &[&str]) -> Command {
        // Whoever started the tests may ignore signals, and what is ignored stays ignored: `nohup`, a job in the background.
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_locks")]);
        command.args(arguments).env("LOCKS_URL", self.url()).env_remove("LOCKS_RUN");
        command.env("D", self.directory.path()).env("L", env!("CARGO_BIN_EXE_locks"));
        command
    }

    /// Runs it to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        ended(self.locks(arguments).stdin(Stdio::null()))
    }

    pub(crate) fn code(&self, arguments: &[&str]) -> i32 {
        let output = self.output(arguments);
        let code = output.status.code();
        code.unwrap_or_else(|| panic!("{arguments:?} ended by a signal: {output:?}"))
    }

    /// Starts `locks run KEY -- sh -c SCRIPT`, with everything piped.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.locks(arguments))
    }

    /// What the lock's line is.
    pub(crate) fn line(&self, key: &str) -> serde_json::Value {
        let output = self.output(&["show", "--json", key]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Returns once so many wait for the lock.
    pub(crate) fn until_waiting(&self, key: &str, count: usize) {
        until("somebody waits", || self.line(key)["waiters"].as_array().unwrap().len() == count);
    }

    /// Takes the lock from whoever holds it: its file goes.
    pub(crate) fn lose(&self, key: &str) {
        std::fs::remove_file(self.path("locks").join(key.replace('/', "%2F") + ".lock")).unwrap();
    }

    /// Whether a process that was started here has not ended. Its number may be another's by now, and one that has ended has no
    /// environment.
    pub(crate) fn is_alive(&self, pid: Pid) -> bool {
        let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
        let own = format!("D={}", self.directory.path().display());
        environment.split(|byte| *byte == 0).any(|variable| variable == own.as_bytes())
    }

    /// The number that a command has written.
    pub(crate) fn pid(&self, name: &str) -> Pid {
        let path = self.path(name);
        until("a process id is written", || std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        let text = std::fs::read_to_string(path).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

pub(crate) fn ended(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANG, "{what}: not within {HANG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // A test whose line does not come fails, and does not hang.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { stdin: child.stdin.take(), child, lines }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The next line that it prints; the empty one if it prints no more.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => line.trim_end().to_owned(),
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("no line within {HANG:?}"),
        }
    }

    /// The next line that it writes to stderr.
    pub(crate) fn error_line(&mut self) -> String {
        // Byte by byte: the rest is for `end`.
        let (mut line, mut byte) = (Vec::new(), [0; 1]);
        let stderr = self.child.stderr.as_mut().unwrap();
        while stderr.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Its exit code, and what it wrote to stderr.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < HANG, "still runs after {HANG:?}");
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut stderr).unwrap();
        }
        (status.code(), stderr)
    }

    pub(crate) fn code(&mut self) -> i32 {
        let (code, stderr) = self.end();
        code.unwrap_or_else(|| panic!("ended by a signal: {stderr}"))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that writes its number to `name` and then lasts.
pub(crate) fn lasting(name: &str) -> String {
    format!("echo $$ > $D/{name}.new; mv $D/{name}.new $D/{name}; echo up; exec sleep 1000")
}

/// A command with a grandchild in a session of its own, which both ignore TERM.
pub(crate) const DEAF: &str = "trap '' TERM; setsid sh -c 'echo $$ > $D/second.new; mv $D/second.new $D/second; exec sleep 1000' & \
    while [ ! -e $D/second ]; do sleep 0.01; done; echo $$ > $D/first.new; mv $D/first.new $D/first; echo up; exec sleep 1000";

/// Prints what is alive of [`DEAF`] when it begins.
pub(crate) const LOOK: &str = "for p in $(cat $D/first $D/second); do [ -e /proc/$p ] && grep -q '^State:.[^Z]' /proc/$p/status && echo alive $p; done; echo looked";

/// What `/proc` has about a process; empty if it has gone.
pub(crate) fn status(pid: Pid) -> String {
    std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default()
}

/// The guard process of a run.
pub(crate) fn guard_of(run: &Running) -> Pid {
    child_of(run.pid())
}

/// The one child of a process.
pub(crate) fn child_of(pid: Pid) -> Pid {
    let pid = pid.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

/// A guard process that is stopped; it goes on when this is dropped, and so ends what a test that failed has left.
pub(crate) struct StoppedGuard(pub(crate) Pid);

impl StoppedGuard {
    pub(crate) fn of(run: &Running) -> Self {
        Self::stop(guard_of(run))
    }

    pub(crate) fn stop(guard: Pid) -> Self {
        let guard = Self(guard);
        kill_process(guard.0, Signal::STOP).unwrap();
        until("the guard is stopped", || status(guard.0).contains("State:\tT"));
        guard
    }
}

impl Drop for StoppedGuard {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}
