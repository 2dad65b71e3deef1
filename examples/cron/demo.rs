//! The demo around the schedule: starts three workers, and checks in their log that no tick ran twice.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output is what the demo is for")]

use distributed_locks::store::StoreUrl;
use distributed_locks::{Fence, Locks};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WORKERS: u32 = 3;
/// Between the last worker's being ready and the first tick.
const START_AFTER: Duration = Duration::from_millis(100);
/// How long the schedule runs.
const LENGTH: Duration = Duration::from_secs(7);
/// The width of a worker's column.
const COLUMN: usize = 16;
/// What a worker prints first.
const READY: &str = "ready";

/// One of the processes that share the schedule.
pub(crate) struct Worker {
    pub(crate) number: u32,
    /// When the first tick is due.
    pub(crate) start: SystemTime,
    log: PathBuf,
}

/// What a worker did with a tick.
pub(crate) enum Outcome {
    /// It ran the tick.
    Ran { fence: Fence, began: SystemTime, ended: SystemTime },
    /// Another worker had the lock.
    Taken,
    /// The lock was free, but so late that another worker may have run the tick.
    Late,
}

impl Worker {
    /// `worker NUMBER LOG`, as [`run_workers`] starts it; `None` in the process that the user started.
    pub(crate) fn from_arguments() -> Option<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [role, number, log] = arguments.as_slice() else { return None };
        let worker = Self { number: number.parse().ok()?, start: UNIX_EPOCH, log: log.into() };
        (role == "worker").then_some(worker)
    }

    /// Reports that this worker is ready, and returns when all are: with the time of the first tick.
    pub(crate) fn wait_for_the_others(&mut self) -> Result<(), Box<dyn Error>> {
        println!("{READY}");
        let mut start = String::new();
        std::io::stdin().read_line(&mut start)?;
        self.start = UNIX_EPOCH + Duration::from_millis(start.trim().parse()?);
        Ok(())
    }

    /// When the schedule is over.
    pub(crate) fn end(&self) -> SystemTime {
        self.start + LENGTH
    }

    /// The time until this worker tries the tick that is `due`. Workers are never in step: which one is first changes from tick
    /// to tick.
    pub(crate) fn until(&self, due: SystemTime, tick: u32) -> Duration {
        let delay = Duration::from_millis(60) * ((self.number + tick) % WORKERS);
        (due + delay).duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Prints that this worker runs a tick, in its column.
    pub(crate) fn print(&self, job: &str, tick: u32) {
        let at = SystemTime::now().duration_since(self.start).unwrap_or_default().as_secs_f32();
        let column = COLUMN * (self.number as usize - 1);
        println!("{at:>6.1} s   {:column$}{job} #{tick}", "");
    }

    /// Writes to the log what this worker did with a tick, in one append.
    pub(crate) fn record(&self, job: &str, tick: u32, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
        let outcome = match outcome {
            Outcome::Ran { fence, began, ended } => {
                format!("ran {} {} {}", fence.to_u64(), millis(*began), millis(*ended))
            }
            Outcome::Taken => "taken 0 0 0".to_owned(),
            Outcome::Late => "late 0 0 0".to_owned(),
        };
        let line = format!("{job} {tick} {} {outcome}\n", self.number);
        OpenOptions::new().append(true).open(&self.log)?.write_all(line.as_bytes())?;
        Ok(())
    }
}

/// Starts the workers, waits for them, and checks their log.
pub(crate) fn run_workers() -> Result<(), Box<dyn Error>> {
    let directory = Directory::new()?;
    let url = std::env::var("LOCKS_URL").ok().filter(|url| !url.is_empty());
    let url = url.unwrap_or_else(|| format!("file://{}/locks", directory.0.display()));
    // A wrong URL is reported once here, and not by each worker.
    Locks::connect(&url)?;
    let log = directory.0.join("log");
    File::create(&log)?;

    // Without user and password.
    println!("{WORKERS} worker processes, each with the whole schedule; locks in {}\n", StoreUrl::parse(&url)?);
    let header: String = (1..=WORKERS).map(|worker| format!("{:<COLUMN$}", format!("worker {worker}"))).collect();
    println!("{:>8}   {}", "", header.trim_end());
    let mut workers: Vec<Child> =
        (1..=WORKERS).map(|number| spawn_worker(number, &url, &log)).collect::<Result<_, _>>()?;
    let printers = workers.iter_mut().map(when_ready).collect::<Result<Vec<_>, _>>()?;
    let start = millis(SystemTime::now() + START_AFTER);
    for worker in &mut workers {
        writeln!(worker.stdin.take().ok_or("a worker has no stdin")?, "{start}")?;
    }
    let ended: Vec<ExitStatus> = workers.into_iter().map(|mut worker| worker.wait()).collect::<Result<_, _>>()?;
    printers.into_iter().try_for_each(thread::JoinHandle::join).map_err(|_| "a thread panicked")?;
    if !ended.iter().all(ExitStatus::success) {
        return Err(FAILED.into());
    }
    let log: Vec<Line> = fs::read_to_string(&log)?.lines().map(str::parse).collect::<Result<_, _>>()?;
    check(&log)
}

/// Prints the error and its root cause.
pub(crate) fn print_error(error: &dyn Error) -> ExitCode {
    eprintln!("error: {error}");
    let mut root = error.source();
    while let Some(deeper) = root.and_then(|cause| cause.source()) {
        root = Some(deeper);
    }
    if let Some(root) = root {
        eprintln!("  because: {root}");
    }
    ExitCode::FAILURE
}

const FAILED: &str = "a worker failed; see its message above";

fn spawn_worker(number: u32, url: &str, log: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["worker", &number.to_string()]).arg(log).env("LOCKS_URL", url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// Waits until a worker is ready; from then on the thread that is returned prints what the worker prints.
fn when_ready(worker: &mut Child) -> Result<thread::JoinHandle<()>, Box<dyn Error>> {
    let mut lines = BufReader::new(worker.stdout.take().ok_or("a worker has no stdout")?).lines().map_while(Result::ok);
    if lines.next().as_deref() != Some(READY) {
        return Err(FAILED.into());
    }
    Ok(thread::spawn(|| lines.for_each(|line| println!("{line}"))))
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// A line of the log: what one worker did with one tick.
struct Line {
    job: String,
    tick: u32,
    worker: u32,
    outcome: String,
    fence: u64,
    began: u128,
    ended: u128,
}

impl Line {
    fn ran(&self) -> bool {
        self.outcome == "ran"
    }

    fn count(lines: &[&Self], outcome: &str) -> usize {
        lines.iter().filter(|line| line.outcome == outcome).count()
    }
}

impl FromStr for Line {
    type Err = Box<dyn Error>;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split(' ').collect();
        let [job, tick, worker, outcome, fence, began, ended] = words.as_slice() else {
            return Err(format!("an incomplete line in the log: {line:?}").into());
        };
        let (tick, worker, outcome) = (tick.parse()?, worker.parse()?, (*outcome).to_owned());
        let (fence, began, ended) = (fence.parse()?, began.parse()?, ended.parse()?);
        Ok(Self { job: (*job).to_owned(), tick, worker, outcome, fence, began, ended })
    }
}

/// Prints the table, and fails if a tick ran twice, two runs of a job overlapped, or a fence did not grow.
fn check(log: &[Line]) -> Result<(), Box<dyn Error>> {
    let mut jobs: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in log {
        jobs.entry(&line.job).or_default().push(line);
    }
    println!(
        "\n{:<12}{:>7}{:>7}{:>8}{:>7}{:>9}{:>17}",
        "job", "ticks", "runs", "taken", "late", "missed", "by worker 1/2/3"
    );
    let mut violations = Vec::new();
    for (job, lines) in &jobs {
        let ticks: BTreeSet<u32> = lines.iter().map(|line| line.tick).collect();
        let mut runs: Vec<&Line> = lines.iter().copied().filter(|line| line.ran()).collect();
        runs.sort_by_key(|run| run.began);
        let missed = ticks.len() - runs.iter().map(|run| run.tick).collect::<BTreeSet<_>>().len();
        let by_worker: Vec<String> = (1..=WORKERS).map(|number| by(number, &runs).to_string()).collect();
        let (taken, late) = (Line::count(lines, "taken"), Line::count(lines, "late"));
        let (ticks, runs_of, by_worker) = (ticks.len(), runs.len(), by_worker.join("/"));
        println!("{job:<12}{ticks:>7}{runs_of:>7}{taken:>8}{late:>7}{missed:>9}{by_worker:>17}");
        violations.extend(runs.windows(2).filter_map(|pair| conflict(pair[0], pair[1])));
        if runs.is_empty() {
            violations.push(format!("{job} never ran"));
        }
    }
    if !violations.is_empty() {
        return Err(format!("{}\nDo all workers use the same lock store?", violations.join("\n")).into());
    }
    println!("\ntaken:   another worker had the lock, and the tick was skipped");
    println!("late:    the lock was free, but so late after the tick that another worker may have run it");
    println!(
        "missed:  no worker ran the tick: the last run still had the lock (`backup` takes longer than its period), or"
    );
    println!("         all workers were late");
    println!(
        "\nNo tick ran twice, no two runs of a job overlapped, and every run had a greater fence than the one before it."
    );
    Ok(())
}

fn by(worker: u32, runs: &[&Line]) -> usize {
    runs.iter().filter(|run| run.worker == worker).count()
}

/// What is wrong with two consecutive runs of a job, if anything.
fn conflict(first: &Line, second: &Line) -> Option<String> {
    let what = if first.tick == second.tick {
        "ran twice"
    } else if first.ended > second.began {
        "ran before the last run had ended"
    } else if first.fence >= second.fence {
        "had no greater fence than the last run"
    } else {
        return None;
    };
    Some(format!("{} #{} {what}, by worker {} and worker {}", second.job, second.tick, first.worker, second.worker))
}

/// A directory for this run, deleted at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("locks-cron-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // If that fails, files are left in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}
