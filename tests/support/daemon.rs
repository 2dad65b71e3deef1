//! A server program that a test has started.

use std::fmt::{self, Debug, Formatter};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, tail};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A server with a directory and a log of its own, that can be paused, killed and started again. Killed by `Drop`, with
/// its data.
pub(crate) struct Daemon {
    name: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    log: PathBuf,
    running: Mutex<Option<Running>>,
    pid: Arc<AtomicU32>,
    directory: TempDir,
}

#[derive(Debug)]
struct Running {
    process: Process,
    paused: bool,
}

impl Daemon {
    /// A server that is not started yet. `name` is for failures; `command` starts it, and must not fork.
    pub(crate) fn new(name: String, directory: TempDir, command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let log = directory.path().join("log");
        File::create(&log).unwrap();
        let (running, pid) = (Mutex::new(None), Arc::default());
        Self { name, command: Box::new(command), log, running, pid, directory }
    }

    /// Starts it and does not wait for it. What it prints goes to the log.
    pub(crate) fn launch(&self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = (self.command)();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::spawn(&mut command, &[self.directory.path()]);
        self.pid.store(process.id(), Ordering::Release);
        *self.running() = Some(Running { process, paused: false });
    }

    /// Waits until `answers`; the error says why it does not, with the end of its log.
    pub(crate) fn ready(&self, answers: impl Fn() -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !answers() {
            let ended = self.running().as_mut().and_then(|running| running.process.ended());
            let why = match ended {
                Some(status) => format!("ended with {status}"),
                None if start.elapsed() > READY_WITHIN => format!("does not answer within {READY_WITHIN:?}"),
                None => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
            };
            return Err(format!("{} {why}\n{}", self.name, tail(&self.log)));
        }
        Ok(())
    }

    /// SIGKILL. Returns when it is gone.
    pub(crate) fn kill(&self) {
        self.pid.store(0, Ordering::Release);
        *self.running() = None;
    }

    /// Its process number, as it changes; 0 while it is down.
    pub(crate) fn pid(&self) -> Arc<AtomicU32> {
        self.pid.clone()
    }

    /// SIGSTOP: it keeps its connections and answers nothing. Returns when it has stopped.
    pub(crate) fn pause(&self) {
        if let Some(running) = self.running().as_mut() {
            running.process.pause();
            running.paused = true;
        }
    }

    /// SIGCONT after [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        if let Some(running) = self.running().as_mut() {
            running.process.resume();
            running.paused = false;
        }
    }

    /// Whether it runs and is not paused.
    pub(crate) fn is_up(&self) -> bool {
        self.running().as_ref().is_some_and(|running| !running.paused)
    }

    /// Its log, which is gone with it.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap()
    }
}

impl Debug for Daemon {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("name", &self.name).field("running", &*self.running()).finish_non_exhaustive()
    }
}

/// An empty directory for a server's data: in memory if there is much of it (containers often have 64 MB), since a
/// start on a slow disk may take seconds.
pub(crate) fn fast_directory(name: &str) -> TempDir {
    const ENOUGH: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |space| space.f_bavail * space.f_frsize);
    let place = if free >= ENOUGH { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix(name).tempdir_in(place).unwrap()
}
