//! `locks-mutants PATH...`: which changes of decisions in these files, or under these folders, no test notices.
//!
//! Every decision of the files (comparisons, `&&`, `||`, `!`, conditions, what a closure says to `filter` and its like, `min` and
//! `max`, factors) is compiled in both forms, and one is chosen when the tests begin. So all mutants are built once, and each costs
//! no more than the tests that it is shown to, which stop at the first failure.
//!
//! What is decided within another macro's braces, as in `matches!` or `tokio::select!`, is not tried by itself.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the terminal")]
#![expect(clippy::disallowed_methods, reason = "it runs programs, and neither waits nor locks by the runtime")]

mod build;
mod change;
mod play;
mod tree;

use build::Program;
use play::Outcome;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A change of one decision.
#[derive(Clone, Debug)]
struct Mutant {
    /// Where, as `path:line`.
    place: String,
    /// What it is, as `a < b` with `<=`.
    change: String,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}", self.place, self.change)
    }
}

/// What is asked for.
#[derive(Debug, Default)]
struct Options {
    paths: Vec<String>,
    ask: Ask,
    /// How many mutants are played at once.
    jobs: usize,
}

/// What is asked besides the suites that are quick.
#[derive(Clone, Debug, Default)]
struct Ask {
    /// How many schedules of the store's model.
    schedules: Option<u64>,
    /// Which cases of the store's own suite, on real servers.
    servers: Option<String>,
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self { jobs, ..Self::default() };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--servers", filter)) => options.ask.servers = Some(filter.to_owned()),
                Some(("--schedules", number)) => options.ask.schedules = Some(number.parse().ok()?),
                Some(("--jobs", number)) => options.jobs = number.parse().ok()?,
                _ if argument.starts_with('-') => return None,
                _ => options.paths.push(argument),
            }
        }
        (!options.paths.is_empty()).then_some(options)
    }
}

const USAGE: &str = "locks-mutants [--schedules=N] [--servers=CASES] [--jobs=N] PATH...
PATH     a file or a folder of locks-runtime/src, such as stores/etcd or engine/schedule.rs
--schedules=2000
         ask also so many schedules of the store's model
--servers=etcd-3.7
         ask also those cases of the store's suite on real servers that have this in their names
--jobs=4 how many mutants are played at once; by default as many as there are processors";

fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(Options { paths, ask, jobs }: &Options) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(|e| e.to_string())?;
    let suites = build::suites(paths, ask)?;
    let (tree, files) = tree::copy(&root, paths)?;
    let mutants = change::change(&root, &tree, &files, &BTreeSet::new())?;
    println!("{} mutants in {} files", mutants.len(), files.len());
    let (mut programs, left_out) = build::build(&root, &tree, &files, &suites)?;
    let reached = play::reached(&tree, &mut programs)?;
    let took: Vec<String> = programs.iter().map(|program| format!("{:.0}", program.takes.as_secs_f64())).collect();
    println!("{} are reached by the suites, which take {} s", reached.len(), took.join(" + "));
    let missed = play_all(&tree, &programs, &mutants, &reached, *jobs)?;
    let is_unreached = |number: &usize| !reached.contains(number) && !left_out.contains(number);
    let unreached: Vec<usize> = (0..mutants.len()).filter(is_unreached).collect();
    for (title, numbers) in [("Missed", &missed), ("Never reached", &unreached)] {
        println!("\n{title}:");
        numbers.iter().for_each(|number| println!("{}", mutants[*number]));
    }
    println!(
        "\n{} mutants: {} caught, {} missed, {} never reached, {} that do not compile",
        mutants.len(),
        reached.len() - missed.len(),
        missed.len(),
        unreached.len(),
        left_out.len()
    );
    Ok(())
}

/// Plays those that are reached, so many at once. Returns those that no test has noticed.
fn play_all(
    tree: &Path,
    programs: &[Program],
    mutants: &[Mutant],
    reached: &BTreeSet<usize>,
    jobs: usize,
) -> Result<Vec<usize>, String> {
    let (next, numbers) = (AtomicUsize::new(0), Vec::from_iter(reached));
    let work = || {
        let mut missed = Vec::new();
        while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = play::play(tree, programs, **number)?;
            println!("{}\t{outcome}", mutants[**number]);
            missed.extend((outcome == Outcome::Missed).then_some(**number));
        }
        Ok(missed)
    };
    let missed: Result<Vec<Vec<usize>>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let mut missed = missed?.concat();
    missed.sort_unstable();
    Ok(missed)
}
