//! Medians over the rounds, and ratios to the floor of the same round: a page, its plot, and an excerpt for the README.

use crate::case::{Case, Figure};
use crate::held::Held;
use crate::instructions::Instructions;
use crate::local::Local;
use crate::machine;
use crate::round::Outcome;
use crate::settings::Settings;
use std::fs;
use std::path::Path;

mod excerpt;
mod page;
mod plot;

/// The outcomes of all rounds of one case with one contestant.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) contestant: &'static str,
    pub(crate) rounds: Vec<Outcome>,
    /// Compared with the floor, in each round: more is better.
    pub(crate) ratios: Vec<f64>,
}

/// The results of one store.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) units: Option<[&'static str; 2]>,
    pub(crate) missing: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) held: Option<Held>,
}

/// All results.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) machine: String,
    pub(crate) local: Vec<Local>,
    pub(crate) instructions: Vec<Instructions>,
    pub(crate) stores: Vec<Measured>,
    /// Stores that are not installed.
    pub(crate) missing: Vec<String>,
}

impl Row {
    fn median_of(&self, figure: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    fn ratio(&self) -> f64 {
        median(self.ratios.clone())
    }

    /// A trial may end before one task waits for another, and then has no hand-off.
    fn has_figures(&self) -> bool {
        self.case.figure == Figure::HandOff || (self.ratio().is_finite() && self.ratio() > 0.0)
    }
}

impl Measured {
    fn row(&self, case: &Case, contestant: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case.name == case.name && row.contestant == contestant)
    }

    /// All contestants but the floor, ours first.
    fn contestants(&self) -> Vec<&'static str> {
        let mut contestants: Vec<&'static str> = Vec::new();
        for row in self.rows.iter().filter(|row| row.contestant != crate::store::FLOOR) {
            if !contestants.contains(&row.contestant) {
                contestants.push(row.contestant);
            }
        }
        contestants
    }
}

impl Report {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (local, instructions, stores, missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { rounds: settings.rounds, machine: machine::description(), local, instructions, stores, missing }
    }

    /// Prints the page, writes it and the plot below `target/bench`, and puts them into the documentation if requested.
    pub(crate) fn write(&self, settings: &Settings) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let directory = root.join(if settings.is_trial { "target/bench/trial" } else { "target/bench" });
        fs::create_dir_all(&directory).unwrap();
        let (page, plot) = (page::markdown(self), plot::svg(self));
        if !settings.is_trial {
            println!("{page}");
        }
        fs::write(directory.join("table.md"), &page).unwrap();
        fs::write(directory.join("bench.svg"), &plot).unwrap();
        println!("table and plot: {}", directory.display());
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        let readme_with_excerpt = excerpt::replace_in(&readme, self);
        assert!(self.rows().all(Row::has_figures), "{page}");
        if settings.keep && !settings.is_whole() {
            println!("only CASE was measured: KEEP=1 has kept nothing");
        } else if settings.keep {
            let kept = root.join("docs/BENCHMARK.md");
            let page = page + page::compile_time(&fs::read_to_string(&kept).unwrap());
            fs::write(kept, page).unwrap();
            fs::write(root.join("docs/bench.svg"), plot).unwrap();
            fs::write(root.join("README.md"), readme_with_excerpt).unwrap();
            println!("updated: docs/BENCHMARK.md, docs/bench.svg, README.md");
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.stores.iter().flat_map(|store| &store.rows)
    }

    fn missing(&self) -> Vec<&str> {
        let mut missing: Vec<&str> = self
            .missing
            .iter()
            .chain(self.stores.iter().flat_map(|store| &store.missing))
            .map(String::as_str)
            .collect();
        missing.dedup();
        missing
    }
}

/// How `outcome` compares with the floor of the same round, which is that of the case or of the uncontended pair.
pub(crate) fn ratio(case: &Case, outcome: &Outcome, floor: &Outcome) -> f64 {
    match case.figure {
        Figure::Rate => outcome.per_second / floor.per_second,
        Figure::HandOff => floor.p50 / outcome.p50,
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// With at least two significant digits: "0.0041", "0.97", "13".
fn shown(ratio: f64) -> String {
    match ratio {
        large if large >= 10.0 => format!("{large:.0}"),
        small if small < 0.01 => format!("{small:.4}"),
        small if small < 0.1 => format!("{small:.3}"),
        middle => format!("{middle:.2}"),
    }
}
