//! The faults of the stores that the torture starts: do they do to a store what their names say?

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "clocks and tasks here are the tests', not the product's")]

mod etcd;

use std::process::ExitCode;

use support::cases;

fn main() -> ExitCode {
    cases::run([etcd::cases()])
}
