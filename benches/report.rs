//! Medians over the rounds, and ratios to the floor of the same round.

use crate::case::{CASES, Case, Figure};
use crate::round::Outcome;

/// The outcomes of all rounds of one case with one locker.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) who: &'static str,
    pub(crate) rounds: Vec<Outcome>,
    /// Of each round: more is better.
    pub(crate) ratios: Vec<f64>,
}

impl Row {
    fn median_of(&self, figure: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    pub(crate) fn ratio(&self) -> f64 {
        median(self.ratios.clone())
    }

    fn print(&self) {
        let [rate, p50, p99] = [self.median_of(|o| o.per_second), self.median_of(|o| o.p50), self.median_of(|o| o.p99)];
        let [calls, proposals] = [self.median_of(|o| o.calls), self.median_of(|o| o.proposals)];
        println!(
            "| {:<25} | {:<20} | {rate:>8.0} | {p50:>7.2} | {p99:>7.2} | {:>6.2} | {calls:>5.2} | {proposals:>5.2} |",
            self.case.name,
            self.who,
            self.ratio()
        );
    }
}

/// How `outcome` compares with the floor of its round: with the same case there, or with the uncontended pair.
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

/// The table, as Markdown. The milliseconds are of acquire and release together, or of the hand-off.
pub(crate) fn print(title: &str, rows: &[Row]) {
    println!("\n{title}\n");
    println!(
        "| case                      | who                  |    per s |  p50 ms |  p99 ms |  ratio | calls |  raft |"
    );
    println!(
        "|---------------------------|----------------------|---------:|--------:|--------:|-------:|------:|------:|"
    );
    for case in &CASES {
        rows.iter().filter(|row| row.case.name == case.name).for_each(Row::print);
    }
}
