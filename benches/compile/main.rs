//! What a locked function costs to compile, compared with a bare one and with `#[tracing::instrument]`:
//! `cargo bench --package locks-benches --bench compile`, with `ROUNDS=` (5).
//!
//! Three crates with the same 200 functions are built in turn, each with its dependencies built before. Times are seconds of
//! processors, which other programs of the machine change less, and in brackets seconds on the clock.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "a command line tool")]

mod compiler;
mod crates;

use compiler::{Figures, Seconds};
use crates::{CRATES, Workspace};

/// How many functions each crate has.
const FUNCTIONS: usize = 200;

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().expect("ROUNDS must be a number"));
    let workspace = Workspace::new(FUNCTIONS);
    let mut figures: [Vec<Figures>; 3] = Default::default();
    CRATES.iter().for_each(|one| compiler::warm(&workspace, one.name));
    for _ in 0..rounds {
        for (one, figures) in CRATES.iter().zip(&mut figures) {
            figures.push(compiler::measure(&workspace, one.name));
        }
    }
    let sizes = compiler::sizes_of_futures(&workspace);
    let medians = figures.map(|rounds| Figures::median_of(&rounds));
    println!("{FUNCTIONS} functions, rounds: {rounds}\n");
    println!(
        "| crate           |       check |       release | LLVM functions | LLVM lines | library, kB | future, B | with 4 kB, B |"
    );
    println!(
        "|-----------------|------------:|--------------:|---------------:|-----------:|------------:|----------:|-------------:|"
    );
    for ((one, figures), [small, large]) in CRATES.iter().zip(&medians).zip(&sizes) {
        let Figures { check, release, functions, lines, library } = figures;
        let [check, release] = [check, release].map(|took| format!("{:.2} ({:.2})", took.processor, took.clock));
        println!(
            "| {:<15} | {check:>11} | {release:>13} | {functions:>14.0} | {lines:>10.0} | {:>11.0} | {small:>9} | {large:>12} |",
            one.name,
            library / 1e3,
        );
    }
    let bare = &medians[0];
    for (one, figures) in CRATES.iter().zip(&medians).skip(1) {
        let times =
            |took: Seconds, of: Seconds| format!("{:.1} ({:.1})", took.processor / of.processor, took.clock / of.clock);
        let (check, release) = (times(figures.check, bare.check), times(figures.release, bare.release));
        let [lines, library] = [figures.lines / bare.lines, figures.library / bare.library];
        println!(
            "\n{} over bare: check {check}, release {release}, LLVM lines {lines:.1}, library {library:.1}",
            one.name
        );
    }
}
