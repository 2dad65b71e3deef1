//! The whole of it on real etcd servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod batches;
mod cost;
mod elections;
mod endings;
mod faults;
mod fenced_write;
mod hold_at_least;
mod out_of_space;
mod peers;
mod replaced;
mod shown;
mod users;
mod withdrawals;

use std::process::ExitCode;
use support::{cases, scenarios};

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        cases![scenarios::forks::a_forked_child_shares_nothing_and_works_by_itself],
        bad_input::cases(),
        batches::cases(),
        cost::cases(),
        elections::cases(),
        endings::cases(),
        faults::cases(),
        fenced_write::cases(),
        hold_at_least::cases(),
        out_of_space::cases(),
        peers::cases(),
        replaced::cases(),
        shown::cases(),
        users::cases(),
        withdrawals::cases(),
    ])
}
