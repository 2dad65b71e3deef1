//! The whole of it on real etcd servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod endings;
mod faults;
mod fenced_write;
mod hold_at_least;
mod peers;
mod shown;
mod withdrawals;

use std::process::ExitCode;
use support::{cases, scenarios};

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        cases![scenarios::forks::a_forked_child_shares_nothing_and_works_by_itself],
        bad_input::cases(),
        cost::cases(),
        endings::cases(),
        faults::cases(),
        fenced_write::cases(),
        hold_at_least::cases(),
        peers::cases(),
        shown::cases(),
        withdrawals::cases(),
    ])
}
