//! `make torture`: see `docs/PROOF.md`. `torture worker ORDERS` is one of its worker processes.

#![expect(clippy::print_stdout, reason = "it reports to whoever started it")]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use locks_torture::report::report;
use locks_torture::run::{Settings, run};
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
    let settings = settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(torture(&settings))
}

/// From the environment: `STORE`, `SEED`, `MINUTES`, `BROKEN`.
fn settings() -> Result<Settings, Failure> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let store = match variable("STORE") {
        Some(store) => store,
        None => Binary::all().last().map(Program::label).ok_or("no etcd is installed: `make servers`")?,
    };
    let seed = variable("SEED").map_or(Ok(1), |seed| seed.parse())?;
    let minutes: f64 = variable("MINUTES").map_or(Ok(3.0), |minutes| minutes.parse())?;
    let broken = variable("BROKEN").map(|flaw| flaw.parse()).transpose()?;
    let name = format!("{}-{seed}-{}", store.replace(['/', ':'], "_"), std::process::id());
    let directory = variable("OUT").map_or_else(|| env::temp_dir().join("locks-torture"), PathBuf::from).join(name);
    let length = Duration::from_secs_f64(minutes * 60.0);
    Ok(Settings { store, seed, length, broken, program: env::current_exe()?, directory })
}

/// Fails if a rule was broken, or if a lock that is broken was not caught.
async fn torture(settings: &Settings) -> Result<ExitCode, Failure> {
    let Settings { store, seed, broken, .. } = settings;
    let what = broken.map_or("ours".to_owned(), |flaw| format!("{flaw:?}"));
    println!("torture of {what} on {store}, seed {seed}, {:?}", settings.length);
    let verdict = run(settings).await?;
    println!("{}", verdict.summary);
    if verdict.violations.is_empty() {
        println!("no rule was broken");
    } else {
        println!("{}", report(&verdict.violations, &verdict.events, *seed, &settings.directory));
    }
    let as_expected = verdict.violations.is_empty() == broken.is_none();
    if as_expected && env::var_os("OUT").is_none() {
        std::fs::remove_dir_all(&settings.directory)?;
    }
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
