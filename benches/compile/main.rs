//! What a locked function costs to compile, compared with a bare one and with `#[tracing::instrument]`:
//! `make bench CASE=compile`, with `ROUNDS=` (5) and `KEEP=1`, which puts the result into the documentation.
//!
//! Three crates with the same 200 functions are built in turn, each with its dependencies built before. Times are seconds of
//! processors, which other programs of the machine change less, and in brackets seconds on the clock.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod compiler;
mod crates;

use compiler::{Figures, Seconds};
use crates::{CRATES, Workspace};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const HEADING: &str = "\n## Compile time\n\n";

/// How many functions each crate has.
const FUNCTIONS: usize = 200;

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().expect("ROUNDS must be a number"));
    let workspace = Workspace::new(FUNCTIONS);
    let mut figures: [Vec<Figures>; 3] = Default::default();
    for one in &CRATES {
        eprintln!("compile time: what {} depends on", one.name);
        compiler::warm(&workspace, one.name);
    }
    for round in 0..rounds {
        for (one, figures) in CRATES.iter().zip(&mut figures) {
            eprintln!("compile time, round {} of {rounds}: {}", round + 1, one.name);
            figures.push(compiler::measure(&workspace, one.name));
        }
    }
    let sizes = compiler::sizes_of_futures(&workspace);
    let medians = figures.map(|rounds| Figures::median_of(&rounds));
    let section = section(rounds, &medians, &sizes);
    println!("{section}");
    if std::env::var_os("KEEP").is_some() {
        keep(&section);
    }
}

/// The section of `docs/BENCHMARK.md`.
fn section(rounds: usize, medians: &[Figures; 3], sizes: &[[usize; 2]]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut section = format!(
        "{HEADING}\
         `make bench CASE=compile` builds three crates in turn, each with the same {FUNCTIONS} `async fn`s that await twice, and with\n\
         their dependencies built before: bare, under `#[tracing::instrument]`, and under `#[distributed_lock]`. Times are seconds of\n\
         processors, of cargo and the compiler for the crate alone, and in brackets seconds on the clock. What the compiler passes to\n\
         LLVM before any optimisation is exact. The sizes are of the futures: of one of the {FUNCTIONS}, and of a function that takes\n\
         4,096 bytes by value.\n\n\
         Measured on {cores} cores, {}, `lto` off, 16 codegen units; medians of {rounds} rounds.\n\n\
         | crate           |       check |       release | LLVM functions | LLVM lines | library, kB | future, B | with 4 kB, B |\n\
         |-----------------|------------:|--------------:|---------------:|-----------:|------------:|----------:|-------------:|\n",
        compiler::version()
    );
    for ((one, figures), [small, large]) in CRATES.iter().zip(medians).zip(sizes) {
        let Figures { check, release, functions, lines, library } = figures;
        let [check, release] = [check, release].map(|took| format!("{:.2} ({:.2})", took.processor, took.clock));
        writeln!(
            section,
            "| {:<15} | {check:>11} | {release:>13} | {functions:>14.0} | {lines:>10.0} | {:>11.0} | {small:>9} | {large:>12} |",
            one.name,
            library / 1e3,
        )
        .unwrap();
    }
    let bare = &medians[0];
    for (one, figures) in CRATES.iter().zip(medians).skip(1) {
        let times =
            |took: Seconds, of: Seconds| format!("{:.1} ({:.1})", took.processor / of.processor, took.clock / of.clock);
        let (check, release) = (times(figures.check, bare.check), times(figures.release, bare.release));
        let [lines, library] = [figures.lines / bare.lines, figures.library / bare.library];
        writeln!(
            section,
            "\nCompared with bare, {} takes {check} times as long for a check and {release} for release, with {lines:.1} times the LLVM \
             lines, in a library {library:.1} times as large.",
            one.name
        )
        .unwrap();
    }
    section
}

/// Puts the section into the documentation, of which it is the last.
fn keep(section: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARK.md");
    let before = fs::read_to_string(&page).unwrap();
    let rest = before.find(HEADING).map_or(before.as_str(), |at| &before[..at]);
    fs::write(page, rest.to_owned() + section).unwrap();
    println!("updated: docs/BENCHMARK.md");
}
