//! Starts our own programs and reads what they print.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::HANG_LIMIT;
use crate::process::Process;

/// A program of this workspace, by name: `binary("worker")` of this package, or `example("cron")`.
///
/// # Panics
///
/// If cargo has not built it.
pub fn binary(name: &str) -> Command {
    built(&[name])
}

/// As [`binary`], for the examples. `cargo test --workspace` builds them, `cargo test -p locks-tests` does not.
pub fn example(name: &str) -> Command {
    built(&["examples", name])
}

/// Test programs run from `target/debug/deps`; what they test lies beside that directory.
fn built(path: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(2).unwrap();
    let program = target.join(path.iter().collect::<PathBuf>());
    assert!(program.exists(), "{} is not built: run `cargo test --workspace`", program.display());
    Command::new(program)
}

/// A running program whose lines can be awaited. Killed by `Drop`.
///
/// Everything it wrote is in the message of a panic from here.
#[derive(Debug)]
pub struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stdout: String,
    stderr: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Child {
    /// Starts `command` with its stdin, stdout and stderr connected to this value.
    pub fn start(command: &mut Command) -> Child {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(command, &[]);
        let pipes = process.pipes();
        let stdin = pipes.stdin.take();
        let lines = lines(pipes.stdout.take().unwrap());
        let (stderr, reader) = collected(pipes.stderr.take().unwrap());
        Child { process, stdin, lines, stdout: String::new(), stderr, reader: Some(reader) }
    }

    /// Skips to the next line that starts with `prefix` and returns what follows the prefix, trimmed.
    ///
    /// # Panics
    ///
    /// If there is no such line `within`, or the program ends before it.
    #[track_caller]
    pub fn expect_line(&mut self, prefix: &str, within: Duration) -> String {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(within.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    writeln!(self.stdout, "{line}").unwrap();
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return rest.trim().to_owned();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no line {prefix:?} within {within:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended without a line {prefix:?}")),
            }
        }
    }

    /// As [`expect_line`](Child::expect_line), within the [`HANG_LIMIT`].
    #[track_caller]
    pub fn next_line(&mut self, prefix: &str) -> String {
        self.expect_line(prefix, HANG_LIMIT)
    }

    /// True if no line that starts with `prefix` is printed within this time: for what must not happen.
    pub fn is_silent_about(&mut self, prefix: &str, during: Duration) -> bool {
        let start = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(during.saturating_sub(start.elapsed())) {
            writeln!(self.stdout, "{line}").unwrap();
            if line.starts_with(prefix) {
                return false;
            }
        }
        true
    }

    /// The next line, if there is one by now.
    pub fn try_line(&mut self) -> Option<String> {
        let line = self.lines.try_recv().ok()?;
        writeln!(self.stdout, "{line}").unwrap();
        Some(line)
    }

    /// The next line of a program that has ended; `None` after the last one. A child of its own that it has left behind may
    /// print more.
    pub fn last_line(&mut self) -> Option<String> {
        let line = self.lines.recv_timeout(Duration::from_millis(100)).ok()?;
        writeln!(self.stdout, "{line}").unwrap();
        Some(line)
    }

    /// As [`say`](Child::say); false if it has ended, or does not read any more.
    pub fn try_say(&mut self, line: &str) -> bool {
        self.stdin.as_mut().is_some_and(|stdin| writeln!(stdin, "{line}").is_ok())
    }

    /// Writes a line to its stdin.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        let written = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}"));
        if !matches!(written, Some(Ok(()))) {
            self.fail(&format!("does not read {line:?}"));
        }
    }

    /// Closes its stdin, so that it reads an end of file.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it still runs after the [`HANG_LIMIT`].
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        match self.process.end(HANG_LIMIT) {
            Some(status) => status,
            None => self.fail(&format!("still runs after {HANG_LIMIT:?}")),
        }
    }

    /// Whether it ends within this time.
    pub fn ends(&mut self, within: Duration) -> bool {
        self.process.end(within).is_some()
    }

    /// SIGKILL: no destructor runs, nothing is released.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM: as a container's runtime, or systemd.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGSTOP: as a long garbage collection, a suspended laptop or a migrating virtual machine. False if it has ended by
    /// itself.
    pub fn pause(&self) -> bool {
        self.process.pause()
    }

    /// SIGCONT after [`pause`](Child::pause). False if it has ended.
    pub fn resume(&self) -> bool {
        self.process.resume()
    }

    /// Whether it is stopped by a signal, of whomever.
    pub fn is_stopped(&self) -> bool {
        self.process.is_stopped()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// All that it and the processes that it started have written to stderr, once they have closed it.
    pub fn whole_stderr(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.stderr()
    }

    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        self.stdout.extend(self.lines.try_iter().map(|line| line + "\n"));
        panic!("the child {what}\n--- its stdout\n{}--- its stderr\n{}---", self.stdout, self.stderr());
    }
}

fn lines(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let read = BufReader::new(stdout).lines().map_while(Result::ok);
        read.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// What is read, as far as it has come, and the thread that reads.
pub(crate) fn collected(stderr: impl Read + Send + 'static) -> (Arc<Mutex<String>>, thread::JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(String::new()));
    let sink = collected.clone();
    let reader = thread::spawn(move || {
        let read = BufReader::new(stderr).lines().map_while(Result::ok);
        read.for_each(|line| writeln!(sink.lock().unwrap(), "{line}").unwrap());
    });
    (collected, reader)
}
