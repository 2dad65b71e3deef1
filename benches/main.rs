//! Compares the attribute with each store's floor and with other clients, interleaved: `make bench`, with `ROUNDS=` (5),
//! `STORES=` (`etcd-1,etcd-3,redis,postgres,file`) and `KEEP=1`, which puts the result into the documentation.
//!
//! The floor of a case is the same case with the fewest requests, see [`lockers`]; for many tasks on one key it is the
//! floor's uncontended pair of the same round, because no lock with a request for each hold can be faster. Every process of
//! a case is a real one, and reports its times by the machine's clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an application, and reads clocks")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod case;
mod held;
mod local;
mod lockers;
mod machine;
mod report;
mod round;
mod settings;
mod store;
mod worker;

use case::{CASES, Case};
use report::{Measured, Report, Row};
use round::Outcome;
use settings::Settings;
use store::{FLOOR, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") if arguments.len() > 1 => worker::run(&arguments[1..]),
        Some("held") if arguments.len() > 1 => held::run(&arguments[1..]),
        None => run(&Settings::trial()),
        Some(_) if arguments.iter().any(|argument| argument == "--bench") => run(&Settings::from_environment()),
        // The name of a test, or another argument of `cargo test`.
        Some(_) => println!("there is no benchmark with this name"),
    }
}

fn run(settings: &Settings) {
    let mut report = Report::new(settings, local::measure(settings));
    for name in &settings.stores {
        match store::start(name, settings) {
            Ok(store) => report.stores.push(measure(store, settings)),
            Err(missing) => report.missing.push(missing),
        }
    }
    report.write(settings);
}

/// All cases with all contestants, round by round, so that noise of the machine affects all of them.
fn measure(store: Store, settings: &Settings) -> Measured {
    // First, while no leases of killed processes are expiring.
    let held = store.units.is_some().then(|| held::measure(&store, settings));
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..settings.rounds {
        let mut pair: Option<Outcome> = None;
        for case in &CASES {
            let mut floor = pair;
            for contestant in store.contestants.iter().filter(|one| case.has_floor || one.name != FLOOR) {
                let outcome = round::run(case, contestant, &store, round, settings);
                if contestant.name == FLOOR {
                    floor = Some(outcome);
                    pair.get_or_insert(outcome);
                }
                let Some(floor) = floor else { continue };
                let row = row_of(&mut rows, case, contestant.name);
                row.rounds.push(outcome);
                row.ratios.push(report::ratio(case, &outcome, &floor));
            }
        }
        eprintln!("{}: round {} of {} done", store.name, round + 1, settings.rounds);
    }
    Measured { name: store.name, title: store.title, units: store.units, missing: store.missing, rows, held }
}

fn row_of<'a>(rows: &'a mut Vec<Row>, case: &'static Case, contestant: &'static str) -> &'a mut Row {
    let at =
        rows.iter().position(|row| row.case.name == case.name && row.contestant == contestant).unwrap_or_else(|| {
            rows.push(Row { case, contestant, rounds: Vec::new(), ratios: Vec::new() });
            rows.len() - 1
        });
    &mut rows[at]
}
