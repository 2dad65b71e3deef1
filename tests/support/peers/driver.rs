//! A driver that runs, and its slots.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Peer;
use crate::HANG_LIMIT;
use crate::child::collected;
use crate::process::Process;

/// A driver that runs. Killed by `Drop`.
#[derive(Debug)]
pub struct Driver {
    process: Mutex<Process>,
    stdin: Mutex<ChildStdin>,
    slots: Arc<Slots>,
    stderr: Arc<Mutex<String>>,
}

/// A JVM that starts, on the busiest machine, beside a few others: what takes longer hangs.
const LIMIT: Duration = HANG_LIMIT.saturating_mul(3);

/// Where the answers to each slot go; `None` when the driver has ended.
type Slots = Mutex<Option<HashMap<String, Sender<String>>>>;

/// One that has at most one lock at a time.
#[derive(Debug)]
pub struct Slot {
    name: String,
    driver: Arc<Driver>,
    answers: Receiver<String>,
}

impl Driver {
    /// Starts one for whoever asks.
    pub fn start(peer: Peer) -> Arc<Driver> {
        let mut command = peer.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command, &[]);
        let pipes = process.pipes();
        let stdin = Mutex::new(pipes.stdin.take().unwrap());
        let slots: Arc<Slots> = Arc::new(Mutex::new(Some(HashMap::new())));
        let (stdout, receiving) = (pipes.stdout.take().unwrap(), slots.clone());
        let stderr = collected(pipes.stderr.take().unwrap()).0;
        thread::spawn(move || distribute(stdout, &receiving));
        Arc::new(Driver { process: Mutex::new(process), stdin, slots, stderr })
    }

    /// The one that all cases of this test program share. Do not kill it.
    pub fn shared(peer: Peer) -> Arc<Driver> {
        static SHARED: OnceLock<Mutex<HashMap<Peer, Arc<Driver>>>> = OnceLock::new();
        let mut shared = lock(SHARED.get_or_init(Mutex::default));
        shared.entry(peer).or_insert_with(|| Driver::start(peer)).clone()
    }

    /// A slot that nobody else has.
    pub fn slot(self: &Arc<Self>) -> Slot {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (sender, answers) = mpsc::channel();
        if let Some(slots) = lock(&self.slots).as_mut() {
            slots.insert(name.clone(), sender);
        }
        Slot { name, driver: self.clone(), answers }
    }

    /// SIGKILL.
    pub fn kill(&self) {
        lock(&self.process).kill();
    }

    /// SIGSTOP, to it and what it has started.
    pub fn pause(&self) {
        lock(&self.process).pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        lock(&self.process).resume();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        lock(&self.process).id()
    }
}

/// A case that panics leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn distribute(stdout: ChildStdout, slots: &Slots) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let (slot, answer) = line.split_once(' ').unwrap_or((&line, ""));
        if let Some(sender) = lock(slots).as_ref().and_then(|slots| slots.get(slot)) {
            // The slot may have been dropped.
            let _ = sender.send(answer.to_owned());
        }
    }
    *lock(slots) = None;
}

impl Slot {
    /// Tells it something. A driver that is dead does not hear it, and never answers.
    pub fn say(&self, command: &str) {
        let _ = writeln!(lock(&self.driver.stdin), "{} {command}", self.name);
    }

    /// Its next answer, if there is one in time.
    ///
    /// # Errors
    ///
    /// If its driver has ended.
    pub fn answer(&self, within: Duration) -> Result<Option<String>, RecvTimeoutError> {
        match self.answers.recv_timeout(within) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(ended) => Err(ended),
        }
    }

    /// Skips to the next answer that begins so, and returns the rest of it.
    ///
    /// # Panics
    ///
    /// If there is none within three times the [`HANG_LIMIT`], or an error before.
    #[track_caller]
    pub fn expect(&self, beginning: &str) -> String {
        let start = Instant::now();
        let mut seen = Vec::new();
        loop {
            let answer = self.answer(LIMIT.saturating_sub(start.elapsed()));
            let Ok(Some(answer)) = answer else {
                panic!(
                    "no answer {beginning:?}: {answer:?} after {seen:?}\n--- its stderr\n{}",
                    lock(&self.driver.stderr)
                );
            };
            if let Some(rest) = answer.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
            assert!(!answer.starts_with("error"), "{answer} instead of {beginning:?}");
            seen.push(answer);
        }
    }

    /// The answer to a command.
    #[track_caller]
    pub fn ask(&self, command: &str) -> String {
        self.say(command);
        self.expect("")
    }

    /// Whether it says nothing that begins so for this long.
    pub fn is_silent_about(&self, beginning: &str, during: Duration) -> bool {
        let start = Instant::now();
        while let Ok(Some(answer)) = self.answer(during.saturating_sub(start.elapsed())) {
            if answer.starts_with(beginning) {
                return false;
            }
        }
        true
    }

    /// The driver that it belongs to.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }
}
