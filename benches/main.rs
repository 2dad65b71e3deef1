//! Compares the attribute with each store's floor and with other clients, interleaved: `make bench`, with `ROUNDS=` (5),
//! `STORES=` (all of [`settings::STORES`]), `CASE=` (only what has this in its name: a case, `held`, `inside`,
//! `instructions`), `HELD=` (100000) and `KEEP=1`, which puts the result into the documentation.
//!
//! The floor of a case is the same case with the fewest requests, see [`lockers`]; for many tasks on one key it is the
//! floor's uncontended pair of the same round, because no lock with a request for each hold can be faster. Every process of
//! a case is a real one, and reports its times by the machine's clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an application, and reads clocks")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod case;
mod held;
mod instructions;
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
use settings::{HELD, Settings};
use std::panic::{AssertUnwindSafe, catch_unwind};
use store::{Contestant, FLOOR, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") if arguments.len() > 1 => worker::run(&arguments[1..]),
        Some("held") if arguments.len() > 1 => held::run(&arguments[1..]),
        Some("instructions") if arguments.len() > 1 => instructions::run(&arguments[1..]),
        None => run(&Settings::trial()),
        Some(_) if arguments.iter().any(|argument| argument == "--bench") => run(&Settings::from_environment()),
        // The name of a test, or another argument of `cargo test`.
        Some(_) => println!("there is no benchmark with this name"),
    }
}

fn run(settings: &Settings) {
    let mut report = Report::new(settings);
    if settings.wants("inside one process") {
        eprintln!("inside one process");
        report.local = local::measure(settings);
    }
    if settings.wants("instructions") && !settings.is_trial {
        match instructions::measure() {
            Ok(instructions) => report.instructions = instructions,
            Err(missing) => report.missing.push(missing),
        }
    }
    for name in settings.stores.iter().filter(|_| settings.wants_stores()) {
        match store::start(name, settings) {
            // What the other stores were measured for is not lost.
            Ok(store) => match catch_unwind(AssertUnwindSafe(|| measure(store, settings))) {
                Ok(measured) => report.stores.push(measured),
                Err(_) if settings.is_trial => panic!("{name} cannot be measured"),
                Err(_) => report.missing.push(format!("{name}, whose run has failed")),
            },
            Err(missing) => report.missing.push(missing),
        }
    }
    report.write(settings);
}

/// All cases with all contestants, round by round, so that noise of the machine affects all of them.
fn measure(store: Store, settings: &Settings) -> Measured {
    // First, while no leases of killed processes are expiring.
    let held = (store.units.is_some() && settings.wants(HELD)).then(|| held::measure(&store, settings));
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..settings.rounds {
        let mut pair: Option<Outcome> = None;
        for case in CASES.iter().filter(|case| settings.wants(case.name) && !(case.is_far && store.links.is_empty())) {
            let run = |contestant: &Contestant| {
                let outcome = round::run(case, contestant, &store, round, settings);
                let progress = format!("{}, round {} of {}", store.name, round + 1, settings.rounds);
                eprintln!("{progress}, {}, {}: p50 {:.3} ms", case.name, contestant.name, outcome.p50);
                outcome
            };
            if !case.has_floor && pair.is_none() {
                pair = Some(round::run(&CASES[0], &store.contestants[0], &store, round, settings));
            }
            let mut floor = pair;
            for contestant in store.contestants.iter().filter(|one| one.takes_part_in(case)) {
                let outcome = run(contestant);
                if contestant.name == FLOOR {
                    floor = Some(outcome);
                    // The first case is the pair.
                    pair = pair.or(floor.filter(|_| case.name == CASES[0].name));
                }
                let Some(floor) = floor else { continue };
                let row = row_of(&mut rows, case, contestant.name);
                row.rounds.push(outcome);
                row.ratios.push(report::ratio(case, &outcome, &floor));
            }
        }
    }
    let held = held.flatten();
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
