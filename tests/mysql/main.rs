//! The whole of it on real MariaDB servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod databases;
mod faults;
mod modes;
mod neighbours;
mod outages;
mod peers;
mod shown;

use std::process::ExitCode;
use support::mysql::Binary;
use support::{cases, scenarios};

type Fixture = cases::Fixture<Binary>;
type Case = cases::Case<Binary>;

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        cases![scenarios::forks::a_forked_child_shares_nothing_and_works_by_itself],
        bad_input::cases(),
        cost::cases(),
        databases::cases(),
        faults::cases(),
        modes::cases(),
        neighbours::cases(),
        outages::cases(),
        peers::cases(),
        shown::cases(),
    ])
}
