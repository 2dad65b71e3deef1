//! One run: the store, the workers, the nemesis, and the verdict.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use distributed_locks::Locks;
use tokio::time::{Instant, sleep, sleep_until};

use crate::checker::{self, History, Limits, Violation};
use crate::clock;
use crate::foreign::Foreigners;
use crate::history::{self, Event, EventKind, Recorder};
use crate::lock::{Flaw, Kinds};
use crate::matrix::Matrix;
use crate::matrix::dealer::Dealer;
use crate::nemesis::log::FaultLog;
use crate::nemesis::schedule::Schedule;
use crate::nemesis::store::Store;
use crate::nemesis::{Targets, inject_all};
use crate::register;
use crate::summary::Summary;
use crate::supervisor::Supervisor;
use crate::worker::stalls;
use crate::workers::{SharedConfig, Workers};

/// The TTL of every lock.
pub const TTL: Duration = Duration::from_secs(3);

/// How long the last calls may take to return, after which they count as hanging.
const STOP_WITHIN: Duration = Duration::from_secs(180);

/// How many holds a naive lock has to have for each second of its run, before it may count as not caught.
const HOLDS_PER_SECOND: u64 = 15;

/// How often a naive lock's history is checked.
const CHECK_EACH: Duration = Duration::from_secs(3);

/// How many times as long a run may take for that.
const STRETCH: u32 = 5;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `etcd-3.4` or another installed etcd for a cluster that the torture starts, or the URL of a store.
    pub store: String,
    /// The seed of everything that is chosen.
    pub seed: u64,
    /// For how long there are calls and faults; at least, for a naive lock that is not caught.
    pub length: Duration,
    /// The flaw of the naive lock, if that is to be run.
    pub broken: Option<Flaw>,
    /// The program that is a worker if its first argument is `worker`.
    pub program: PathBuf,
    /// Where histories and logs are written.
    pub directory: PathBuf,
}

/// The result of a run.
#[derive(Debug)]
pub struct Verdict {
    /// The violations, in the order of time.
    pub violations: Vec<Violation>,
    /// After what time a naive lock was caught.
    pub caught_after: Option<Duration>,
    /// The figures of the run.
    pub summary: Summary,
    /// The whole history.
    pub events: Vec<Event>,
}

/// Runs the torture.
///
/// # Errors
///
/// If the store is not installed, or a file cannot be written.
pub async fn run(settings: &Settings) -> io::Result<Verdict> {
    let Settings { directory, seed, broken, .. } = settings;
    std::fs::create_dir_all(directory)?;
    let store = Arc::new(Store::start(&settings.store).await?);
    let (url, kind) = (store.url(), store.kind());
    let log = FaultLog::of(Recorder::open(&directory.join("nemesis.jsonl"), "nemesis")?);
    stalls::watch(&Arc::new(Recorder::open(&directory.join("driver.jsonl"), "driver")?));
    let observing = Recorder::open(&directory.join("observer.jsonl"), "observer")?;
    let observer = tokio::spawn(store.clone().observe(observing));
    let workers = Workers::start(&SharedConfig {
        program: &settings.program,
        directory,
        url: &url,
        broken: *broken,
        seed: *seed,
        register: register::serve(&directory.join("register.jsonl"), *seed).await?,
        ttl: TTL,
    });
    let targets = Arc::new(Targets { store, workers, log });
    // A lock with a flaw has another layout.
    let start = || Foreigners::start(&settings.store, &url, directory, *seed, settings.length);
    let foreign = broken.is_none().then(start).transpose()?;
    let clients = Locks::connect(&url).map_err(io::Error::other)?;
    let matrix = Matrix { has_network: kind.has_network(), kinds: Kinds::of(clients.capabilities(), &url) };
    if broken.is_none() {
        let has_dead_waiters = kind.has_dead_waiters();
        let Matrix { has_network, kinds } = matrix;
        targets.log.0.record(EventKind::Matrix { has_network, kinds, has_dead_waiters });
    }
    let mut supervisor = Supervisor::of(&targets, Dealer::new(matrix, *seed), *seed);
    let disturbed = async {
        match broken {
            None => {
                disturb(settings.length, &targets, Schedule::new(*seed, settings.length, kind)).await?;
                Ok(None)
            }
            Some(_) => {
                let longest = settings.length * STRETCH;
                disturb_until_caught(settings, &targets, Schedule::for_a_flaw(*seed, longest, kind)).await
            }
        }
    };
    let caught_after = tokio::select! {
        disturbed = disturbed => disturbed?,
        Ok(server) = &mut supervisor.failed => return Err(io::Error::other(server)),
    };
    // All of its processes have ended.
    drop(supervisor);
    if let Some(foreign) = foreign {
        tokio::task::block_in_place(|| foreign.stop());
    }
    if caught_after.is_none() {
        // Whatever lapses now is to do so before the history ends.
        sleep(TTL + Duration::from_secs(3)).await;
    }
    observer.abort();
    if broken.is_none() {
        let what = targets.store.left_behind().await;
        targets.log.0.record(EventKind::LeftBehind { what });
    }
    targets.log.0.record(EventKind::Drained);
    let verdict = Verdict { caught_after, ..check(directory, broken.is_some())? };
    if !verdict.violations.is_empty() {
        keep_logs(&targets, directory);
    }
    Ok(verdict)
}

/// Lets the workers call and the nemesis inject faults for this time, and then lets all calls end.
async fn disturb(length: Duration, targets: &Arc<Targets>, schedule: Schedule) -> io::Result<()> {
    let until = Instant::now() + length;
    if let Err(ended) = tokio::spawn(inject_all(targets.clone(), schedule)).await
        && ended.is_panic()
    {
        std::panic::resume_unwind(ended.into_panic());
    }
    sleep_until(until).await;
    let targets = targets.clone();
    let stopping = tokio::task::spawn_blocking(move || targets.workers.stop(STOP_WITHIN));
    stopping.await.map(drop).map_err(io::Error::other)
}

/// Lets the workers call and the nemesis inject faults until the naive lock is caught; otherwise until the time is over and
/// there were enough holds to catch it, which takes longer on a busy machine. The workers are killed in the end. Returns
/// when it was caught.
async fn disturb_until_caught(
    settings: &Settings,
    targets: &Arc<Targets>,
    schedule: Schedule,
) -> io::Result<Option<Duration>> {
    let begun = Instant::now();
    let enough = HOLDS_PER_SECOND * settings.length.as_secs();
    let injecting = tokio::spawn(inject_all(targets.clone(), schedule));
    let caught_after = loop {
        sleep(CHECK_EACH).await;
        let events = history_so_far(&settings.directory)?;
        let is_caught = !checker::check_safety(&events, &Limits::for_ttl(TTL)).is_empty();
        let holds = events.iter().filter(|event| matches!(event.kind, EventKind::BodyStarted { .. })).count();
        let is_enough = u64::try_from(holds).is_ok_and(|holds| holds >= enough);
        let elapsed = begun.elapsed();
        if is_caught {
            break Some(elapsed);
        }
        if elapsed >= settings.length * STRETCH || (elapsed >= settings.length && is_enough) {
            break None;
        }
    };
    injecting.abort();
    targets.kill_workers();
    Ok(caught_after)
}

/// The part of the history that all processes have written by now.
fn history_so_far(directory: &Path) -> io::Result<Vec<Event>> {
    let complete_until = clock::now() - 1_000_000_000;
    let mut events = history::read(directory)?;
    events.retain(|event| event.at < complete_until);
    Ok(events)
}

/// Checks the history in `directory`. For a naive lock only safety counts.
///
/// # Errors
///
/// If the history cannot be read.
pub fn check(directory: &Path, is_naive: bool) -> io::Result<Verdict> {
    let events = history::read(directory)?;
    let is_slow = |event: &Event| matches!(event.kind, EventKind::Matrix { has_dead_waiters: true, .. });
    let limits = Limits::for_ttl(TTL);
    let limits = if events.iter().any(is_slow) { limits.with_dead_waiters() } else { limits };
    let check = if is_naive { checker::check_safety } else { checker::check };
    let violations = check(&events, &limits);
    Ok(Verdict {
        violations,
        caught_after: None,
        summary: Summary::of(&History::from_events(&events), &limits),
        events,
    })
}

/// Copies the servers' logs, which are deleted with the servers.
fn keep_logs(targets: &Targets, directory: &Path) {
    for (number, log) in targets.store.logs().into_iter().enumerate() {
        // A log that cannot be copied is no reason to fail: the history is there.
        let _ = std::fs::copy(log, directory.join(format!("m{number}.log")));
    }
}
