//! The whole of it on a real API server of Kubernetes over a real etcd.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod by_hand;
mod cost;
mod faults;
mod outages;
mod peers;

use std::process::ExitCode;
use support::kubernetes::Binary;
use support::{cases, scenarios};

type Fixture = cases::Fixture<Binary>;
type Case = cases::Case<Binary>;

fn main() -> ExitCode {
    cases::run([
        scenarios::everywhere(),
        bad_input::cases(),
        by_hand::cases(),
        cost::cases(),
        faults::cases(),
        outages::cases(),
        peers::cases(),
    ])
}
