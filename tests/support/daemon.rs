//! A server program that a test has started.

use std::fmt::{self, Debug, Formatter};
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::process::{Process, tail};

/// Three Java programs that start together on a busy machine take a while.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Another process may take a port between our look at it and the server's start.
const START_TRIES: u32 = 5;

/// A server with a port, a directory and a log of its own, that can be paused, killed and started again. Killed by
/// `Drop`, with its data.
pub struct Daemon {
    launch: Launch,
    log: PathBuf,
    running: Mutex<Option<Running>>,
    pid: Arc<AtomicU32>,
}

/// How a server is started and reached.
pub(crate) struct Launch {
    /// For failures.
    pub(crate) name: String,
    /// Its data, and its log.
    pub(crate) directory: TempDir,
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    /// The URL for clients.
    pub(crate) url: ClientUrl,
    /// Starts it, and must not fork.
    pub(crate) command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Whether it answers.
    pub(crate) answers: Box<dyn Fn() -> bool + Send + Sync>,
}

/// The URL for `Locks::connect`, but for the hosts.
#[derive(Debug, Default)]
pub(crate) struct ClientUrl {
    pub(crate) scheme: &'static str,
    /// As in `user:password@`.
    pub(crate) login: String,
    /// As in `/database`.
    pub(crate) path: &'static str,
    /// As in `a=1&b=2`.
    pub(crate) parameters: String,
    pub(crate) certificates: Option<Certificates>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    paused: bool,
}

/// Starts the servers that `prepare` makes, once more on other ports if need be, and waits until all of them answer.
///
/// # Panics
///
/// If they do not start, with the end of a log.
pub(crate) fn start<T>(prepare: impl Fn() -> T, daemons: impl Fn(&T) -> Vec<&Daemon>) -> T {
    for tries in 1.. {
        let started = prepare();
        let servers = daemons(&started);
        servers.iter().for_each(|server| server.launch());
        let Some(why) = servers.iter().find_map(|server| server.ready().err()) else { return started };
        // A first election among servers that start slowly may fail, and needs long to do so.
        let again = servers.len() > 1 || is_taken(&why);
        assert!(again && tries < START_TRIES, "{why}");
    }
    unreachable!("the last try returns or panics")
}

fn is_taken(why: &str) -> bool {
    why.to_lowercase().contains("address already in use")
}

impl Daemon {
    /// A server that is not started yet.
    pub(crate) fn new(launch: Launch) -> Self {
        let log = launch.directory.path().join("log");
        File::create(&log).unwrap();
        Self { launch, log, running: Mutex::new(None), pid: Arc::default() }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.launch.address
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    /// The URL for `Locks::connect`, with the credentials and certificates that this server requires.
    pub fn url(&self) -> String {
        self.url_at(&self.endpoint())
    }

    /// As [`url`](Self::url), by another way such as a [`Proxy`](crate::proxy::Proxy), or to several servers.
    pub fn url_at(&self, authority: &str) -> String {
        let ClientUrl { scheme, login, path, parameters, certificates } = &self.launch.url;
        let url = format!("{scheme}://{login}{authority}{path}");
        let files = certificates.as_ref().map(|files| format!("ca={}&{}", files.ca().display(), files.identity()));
        [Some(parameters.clone()), files].iter().flatten().fold(url, |url, more| with_parameters(&url, more))
    }

    /// As [`url`](Self::url), with further parameters, as in `ttl=6s&connect_timeout=1s`.
    pub fn url_with(&self, parameters: &str) -> String {
        with_parameters(&self.url(), parameters)
    }

    /// What a client needs to connect with TLS, if the server has been set up for it.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.launch.url.certificates.as_ref()
    }

    /// Starts it and does not wait for it. What it prints goes to the log.
    pub fn launch(&self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = (self.launch.command)();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::spawn(&mut command, &[self.launch.directory.path()]);
        self.pid.store(process.id(), Ordering::Release);
        *self.running() = Some(Running { process, paused: false });
    }

    /// Waits until it answers.
    ///
    /// # Panics
    ///
    /// If it ends instead, or does not answer in time, with the end of its log.
    pub fn await_ready(&self) {
        self.ready().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Whether it answers now.
    pub fn is_ready(&self) -> bool {
        (self.launch.answers)()
    }

    /// Kills it if it runs, starts it again with its ports and its data, and waits until it answers.
    ///
    /// A member of a cluster may answer only when there is a leader.
    pub fn restart(&self) {
        self.kill();
        for tries in 1.. {
            self.launch();
            match self.ready() {
                Ok(()) => return,
                Err(why) => assert!(is_taken(&why) && tries < START_TRIES, "{why}"),
            }
        }
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        self.pid.store(0, Ordering::Release);
        *self.running() = None;
    }

    /// SIGSTOP: it keeps its connections and answers nothing. Returns when it has stopped, or has
    /// [ended by itself](Self::ended_by_itself).
    pub fn pause(&self) {
        if let Some(running) = self.running().as_mut() {
            running.paused = running.process.pause();
        }
    }

    /// SIGCONT after [`pause`](Self::pause).
    pub fn resume(&self) {
        if let Some(running) = self.running().as_mut() {
            running.process.resume();
            running.paused = false;
        }
    }

    /// Whether it runs and is not paused.
    pub fn is_up(&self) -> bool {
        self.running().as_ref().is_some_and(|running| !running.paused)
    }

    /// How it ended, with the end of its log, if it was started and has ended without being killed.
    pub fn ended_by_itself(&self) -> Option<String> {
        let status = self.ended()?;
        Some(format!("{} ended by itself with {status}\n{}", self.launch.name, self.log_tail()))
    }

    /// Its log, which is gone with it.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines it logged.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Its process number, as it changes; 0 while it is down.
    pub(crate) fn pid(&self) -> Arc<AtomicU32> {
        self.pid.clone()
    }

    /// Waits until it answers; the error is why it does not, with the end of its log.
    fn ready(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let why = match self.ended() {
                // Looked at first: another server may answer at its port.
                Some(status) => format!("ended with {status}"),
                None if (self.launch.answers)() => return Ok(()),
                None if start.elapsed() > READY_WITHIN => format!("does not answer within {READY_WITHIN:?}"),
                None => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
            };
            return Err(format!("{} {why}\n{}", self.launch.name, self.log_tail()));
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.running().as_mut().and_then(|running| running.process.ended())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap()
    }
}

impl Debug for Daemon {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.launch.name;
        f.debug_struct("Daemon").field("name", name).field("running", &*self.running()).finish_non_exhaustive()
    }
}

/// A URL with further parameters, as in `ttl=6s&connect_timeout=1s`.
pub fn with_parameters(url: &str, parameters: &str) -> String {
    let joint = match parameters {
        "" => "",
        _ if url.contains('?') => "&",
        _ => "?",
    };
    format!("{url}{joint}{parameters}")
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
