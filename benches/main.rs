//! Ours beside the store's own floor and beside other clients, interleaved: `make bench`, with `ROUNDS=` (5) and
//! `NODES=` (`1,3`).
//!
//! The floor of a case is the same case with two bare transactions ([`lockers::Floor`]); of a crowd on one key it is the
//! uncontended pair of the same round, since no lock with a request for each hold can be faster. Every process is a
//! process of its own, and writes its moments by the machine's clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an application, and reads clocks")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its table")]

mod case;
mod held;
mod local;
mod lockers;
mod plot;
mod report;
mod round;
mod worker;

use case::{CASES, Case};
use report::Row;
use round::{Outcome, Who};
use support::etcd::{Binary, Cluster, Setup};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") => worker::run(&arguments[1..]),
        Some("held") => held::run(&arguments[1..]),
        _ => everything(),
    }
}

fn everything() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = setting("ROUNDS", "5").parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut contestants = vec![Who::Floor, Who::Ours, Who::Service];
    contestants.extend(round::go(directory.path()));
    local::print();
    let Some(binary) = Binary::all().last() else {
        eprintln!("no etcd is installed: `make servers`");
        return;
    };
    for nodes in setting("NODES", "1,3").split(',') {
        let setup = Setup { fsync: true, ..Setup::default() };
        let cluster = Cluster::start_with(binary, nodes.parse().unwrap(), &setup);
        let title = format!("{} on disk, {nodes} member(s), medians of {rounds} rounds", binary.label());
        let rows = measure(&cluster, &contestants, rounds);
        report::print(&title, &rows);
        plot::write(&format!("bench-{nodes}.svg"), &title, &rows);
        held::print(&cluster);
    }
}

/// All cases with all contestants, round by round, so that a noisy minute is noisy for all.
fn measure(cluster: &Cluster, contestants: &[Who], rounds: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..rounds {
        let mut pair: Option<Outcome> = None;
        for case in &CASES {
            let mut floor = pair;
            for who in contestants.iter().filter(|who| case.has_floor || **who != Who::Floor) {
                let outcome = round::run(case, who, cluster, round);
                if *who == Who::Floor {
                    floor = Some(outcome);
                    pair.get_or_insert(outcome);
                }
                let Some(floor) = floor else { continue };
                let row = row_of(&mut rows, case, who.name());
                row.rounds.push(outcome);
                row.ratios.push(report::ratio(case, &outcome, &floor));
            }
        }
        eprintln!("round {} of {rounds} is done", round + 1);
    }
    rows
}

fn row_of<'a>(rows: &'a mut Vec<Row>, case: &'static Case, who: &'static str) -> &'a mut Row {
    let at = rows.iter().position(|row| row.case.name == case.name && row.who == who).unwrap_or_else(|| {
        rows.push(Row { case, who, rounds: Vec::new(), ratios: Vec::new() });
        rows.len() - 1
    });
    &mut rows[at]
}
