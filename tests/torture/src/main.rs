//! `make torture`: see `docs/PROOF.md`. `torture judge DIRECTORY` judges a history that was kept, `torture worker ORDERS` is
//! one of its worker processes.

#![expect(clippy::print_stdout, reason = "it reports to whoever started it")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use locks_torture::lock::Flaw;
use locks_torture::report::report;
use locks_torture::run::{Settings, Verdict, judge, run};
use locks_torture::worker::{self, Orders};
use support::cases::Program;
use support::etcd::Binary;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [role, orders] = arguments.as_slice()
        && role == "worker"
    {
        return Ok(worker::run(&serde_json::from_str::<Orders>(orders)?));
    }
    if let [judge, directory] = arguments.as_slice()
        && judge == "judge"
    {
        return judge_again(&PathBuf::from(directory));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for broken in locks()? {
        if !runtime.block_on(torture(&settings(broken)?))? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The verdict on a history that was kept.
fn judge_again(directory: &Path) -> Result<ExitCode, Failure> {
    let Verdict { violations, summary, events } = judge(directory, false)?;
    println!("{summary}");
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", report(&violations, &events, 0, directory));
    Ok(ExitCode::FAILURE)
}

/// Ours, or what `BROKEN` names: a flaw, or `each`.
fn locks() -> Result<Vec<Option<Flaw>>, Failure> {
    match variable("BROKEN").as_deref() {
        None => Ok(vec![None]),
        Some("each") => Ok(Flaw::EACH.map(Some).to_vec()),
        Some(flaw) => Ok(vec![Some(flaw.parse()?)]),
    }
}

/// From the environment: `STORE`, `SEED`, `MINUTES`, and where to keep everything, `OUT`.
fn settings(broken: Option<Flaw>) -> Result<Settings, Failure> {
    let store = match variable("STORE") {
        Some(store) => store,
        None => Binary::all().last().map(Program::label).ok_or("no etcd is installed: `make servers`")?,
    };
    let seed = variable("SEED").map_or(Ok(1), |seed| seed.parse())?;
    // A broken lock is to be caught within two.
    let minutes: f64 = match variable("MINUTES") {
        Some(minutes) => minutes.parse()?,
        None => broken.map_or(3.0, |_| 2.0),
    };
    let subject = broken.map_or("ours".to_owned(), |flaw| flaw.to_string());
    let name = format!("{}-{subject}-{seed}-{}", store.replace(['/', ':'], "_"), std::process::id());
    let directory = variable("OUT").map_or_else(|| env::temp_dir().join("locks-torture"), PathBuf::from).join(name);
    let length = Duration::from_secs_f64(minutes * 60.0);
    Ok(Settings { store, seed, length, broken, program: env::current_exe()?, directory })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether no rule was broken, or, by a lock that is broken on purpose, one.
async fn torture(settings: &Settings) -> Result<bool, Failure> {
    let Settings { store, seed, broken, length, directory, .. } = settings;
    let what = broken.map_or("the lock".to_owned(), |flaw| format!("a lock made by hand, with {flaw} wrong"));
    println!("\ntorture of {what} on {store} with seed {seed}, for {length:?}");
    let Verdict { violations, summary, events } = run(settings).await?;
    println!("{summary}");
    let broken = broken.filter(|flaw| *flaw != Flaw::Nothing);
    let as_expected = violations.is_empty() == broken.is_none();
    match (violations.first(), broken) {
        (None, None) => println!("no rule was broken"),
        (None, Some(_)) => println!("it was NOT caught; everything is in {}", directory.display()),
        (Some(first), Some(_)) => println!("caught: {:?} was broken: {}", first.rule, first.what),
        (Some(_), None) => println!("{}", report(&violations, &events, *seed, directory)),
    }
    if as_expected && variable("OUT").is_none() {
        std::fs::remove_dir_all(directory)?;
    }
    Ok(as_expected)
}
