//! The whole of it on a real ZooKeeper.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod endings;
mod faults;
mod modes;
mod outages;
mod peers;
mod shown;

use std::process::ExitCode;
use support::zookeeper::Installed;
use support::{cases, scenarios};

type Fixture = cases::Fixture<Installed>;
type Case = cases::Case<Installed>;

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        cases![scenarios::forks::a_forked_child_shares_nothing_and_is_refused_at_once],
        bad_input::cases(),
        cost::cases(),
        endings::cases(),
        faults::cases(),
        modes::cases(),
        outages::cases(),
        peers::cases(),
        shown::cases(),
    ])
}
