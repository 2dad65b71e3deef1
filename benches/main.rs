//! Ours beside each store's own floor and beside other clients, interleaved: `make bench`, with `ROUNDS=` (5), `STORES=`
//! (`etcd-1,etcd-3,redis,file`) and `KEEP=1`, which puts the result into the documentation.
//!
//! The floor of a case is the same case with the bare requests of its store, see [`lockers`]; of a crowd on one key it is
//! the uncontended pair of the same round, since no lock with a request for each hold can be faster. Every process is a
//! process of its own, and writes its moments by the machine's clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an application, and reads clocks")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its table")]

mod case;
mod effort;
mod held;
mod local;
mod lockers;
mod machine;
mod report;
mod round;
mod store;
mod worker;

use case::{CASES, Case};
use effort::Effort;
use report::{Measured, Report, Row};
use round::Outcome;
use store::{FLOOR, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") if arguments.len() > 1 => worker::run(&arguments[1..]),
        Some("held") if arguments.len() > 1 => held::run(&arguments[1..]),
        None => everything(&Effort::trial()),
        Some(_) if arguments.iter().any(|argument| argument == "--bench") => everything(&Effort::asked_for()),
        // The name of a test, or another wish of `cargo test`.
        Some(_) => println!("no benchmark is named so"),
    }
}

fn everything(effort: &Effort) {
    let mut report = Report::new(effort, local::measure(effort));
    for name in &effort.stores {
        match store::start(name, effort) {
            Ok(store) => report.stores.push(measure(store, effort)),
            Err(missing) => report.missing.push(missing),
        }
    }
    report.write(effort);
}

/// All cases with all contestants, round by round, so that a noisy minute is noisy for all.
fn measure(store: Store, effort: &Effort) -> Measured {
    // First, while there are no leases of killed processes that run out.
    let held = store.units.is_some().then(|| held::measure(&store, effort));
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..effort.rounds {
        let mut pair: Option<Outcome> = None;
        for case in &CASES {
            let mut floor = pair;
            for who in store.contestants.iter().filter(|who| case.has_floor || who.name != FLOOR) {
                let outcome = round::run(case, who, &store, round, effort);
                if who.name == FLOOR {
                    floor = Some(outcome);
                    pair.get_or_insert(outcome);
                }
                let Some(floor) = floor else { continue };
                let row = row_of(&mut rows, case, who.name);
                row.rounds.push(outcome);
                row.ratios.push(report::ratio(case, &outcome, &floor));
            }
        }
        eprintln!("{}: round {} of {} is done", store.name, round + 1, effort.rounds);
    }
    Measured { name: store.name, title: store.title, units: store.units, missing: store.missing, rows, held }
}

fn row_of<'a>(rows: &'a mut Vec<Row>, case: &'static Case, who: &'static str) -> &'a mut Row {
    let at = rows.iter().position(|row| row.case.name == case.name && row.who == who).unwrap_or_else(|| {
        rows.push(Row { case, who, rounds: Vec::new(), ratios: Vec::new() });
        rows.len() - 1
    });
    &mut rows[at]
}
