//! The whole of it on real Redis and Valkey servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cluster;
mod cost;
mod earlier;
mod endings;
mod faults;
mod lines;
mod messages;
mod modes;
mod neighbours;
mod outages;
mod peers;
mod rights;
mod room;
mod script;
mod sentinels;
mod shown;

use std::process::ExitCode;
use support::redis::Binary;
use support::{cases, scenarios};

type Fixture = cases::Fixture<Binary>;
type Case = cases::Case<Binary>;

/// A URL with this path, which is a namespace.
fn with_path(url: &str, path: &str) -> String {
    match url.split_once('?') {
        Some((url, parameters)) => format!("{url}{path}?{parameters}"),
        None => format!("{url}{path}"),
    }
}

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        cases![scenarios::forks::a_forked_child_shares_nothing_and_works_by_itself],
        bad_input::cases(),
        cluster::cases(),
        cost::cases(),
        earlier::cases(),
        endings::cases(),
        faults::cases(),
        lines::cases(),
        messages::cases(),
        modes::cases(),
        neighbours::cases(),
        outages::cases(),
        peers::cases(),
        rights::cases(),
        room::cases(),
        sentinels::cases(),
        shown::cases(),
    ])
}
