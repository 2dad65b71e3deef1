//! `make torture`: see `docs/PROOF.md`. `torture check DIRECTORY` checks a history that was kept; `torture worker CONFIG`
//! is one of the worker processes.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use locks_torture::lock::Flaw;
use locks_torture::report::report;
use locks_torture::run::{Settings, Verdict, check, run};
use locks_torture::sensitivity::Table;
use locks_torture::worker::{self, Config};
use support::cases::Program;
use support::etcd::Binary;

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, AnyError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker", config] => return Ok(worker::run(&serde_json::from_str::<Config>(config)?)),
        ["check", directory] => return check_again(Path::new(directory)),
        _ => {}
    }
    let (first, count) = (number("SEED", 1)?, number("SEEDS", 1)?);
    let (mut all_as_expected, mut table) = (true, Table::default());
    for seed in first..first + count {
        for broken in locks()? {
            // Each has a runtime, with which all that serves it ends: the next one is not to share the machine with it.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let run = runtime.block_on(torture(&settings(broken, seed)?))?;
            runtime.shutdown_timeout(END_WITHIN);
            all_as_expected &= run.as_expected;
            broken.into_iter().for_each(|flaw| table.add(flaw, seed, run.caught_after));
        }
    }
    if count > 1 {
        println!("{table}");
    }
    Ok(if all_as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long to wait for what a run has on threads of its own.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What a run has found.
struct Run {
    /// No violation, or at least one if the lock has a flaw.
    as_expected: bool,
    caught_after: Option<Duration>,
}

/// Checks a history that was kept.
fn check_again(directory: &Path) -> Result<ExitCode, AnyError> {
    let Verdict { violations, summary, events, .. } = check(directory, false)?;
    println!("{summary}");
    if violations.is_empty() {
        println!("no violations");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", report(&violations, &events, 0, directory));
    Ok(ExitCode::FAILURE)
}

/// The attribute's lock, or the naive lock with the flaw that `BROKEN` names, or with `each` of them.
fn locks() -> Result<Vec<Option<Flaw>>, AnyError> {
    match variable("BROKEN").as_deref() {
        None => Ok(vec![None]),
        Some("each") => Ok(Flaw::EACH.map(Some).to_vec()),
        Some(flaw) => Ok(vec![Some(flaw.parse()?)]),
    }
}

/// From the environment: `STORE`, `MINUTES`, and `OUT`, the directory in which to keep the history.
fn settings(broken: Option<Flaw>, seed: u64) -> Result<Settings, AnyError> {
    let store = match variable("STORE") {
        Some(store) => store,
        None => Binary::all().last().map(Program::label).ok_or("etcd is not installed: run `make servers`")?,
    };
    // A flaw has to be caught within a minute.
    let minutes: f64 = match variable("MINUTES") {
        Some(minutes) => minutes.parse()?,
        None => broken.map_or(3.0, |_| 1.0),
    };
    let lock = broken.map_or("ours".to_owned(), |flaw| flaw.to_string());
    let name = format!("{}-{lock}-{seed}-{}", store.replace(['/', ':'], "_"), std::process::id());
    let directory = variable("OUT").map_or_else(|| env::temp_dir().join("locks-torture"), PathBuf::from).join(name);
    let length = Duration::from_secs_f64(minutes * 60.0);
    Ok(Settings { store, seed, length, broken, program: env::current_exe()?, directory })
}

fn number(name: &str, default: u64) -> Result<u64, AnyError> {
    variable(name).map_or(Ok(default), |number| Ok(number.parse()?))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

async fn torture(settings: &Settings) -> Result<Run, AnyError> {
    let Settings { store, seed, broken, length, directory, .. } = settings;
    let lock = broken.map_or("`#[distributed_lock]`".to_owned(), |flaw| format!("a naive lock (flaw: {flaw})"));
    println!("\ntorture of {lock} on {store}, seed {seed}, for {length:?}");
    let Verdict { violations, caught_after, summary, events } = run(settings).await?;
    println!("{summary}");
    let flaw = broken.filter(|flaw| !Flaw::NONE.contains(flaw));
    let as_expected = violations.is_empty() == flaw.is_none();
    match (violations.first(), flaw) {
        (None, None) => println!("no violations"),
        (None, Some(flaw)) => println!("{flaw} was NOT caught; history and logs: {}", directory.display()),
        (Some(first), Some(flaw)) => {
            let seconds = caught_after.unwrap_or(*length).as_secs();
            let rules: BTreeSet<String> = violations.iter().map(|violation| format!("{:?}", violation.rule)).collect();
            let rules = rules.into_iter().collect::<Vec<_>>().join(", ");
            println!(
                "{flaw} was caught after {seconds} s by {rules}; first by {:?}: {}",
                first.rule, first.description
            );
        }
        (Some(_), None) => println!("{}", report(&violations, &events, *seed, directory)),
    }
    if as_expected && variable("OUT").is_none() {
        std::fs::remove_dir_all(directory)?;
    }
    Ok(Run { as_expected, caught_after })
}
