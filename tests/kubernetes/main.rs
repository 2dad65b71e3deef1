//! The whole of it on a real API server of Kubernetes over a real etcd.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use std::process::ExitCode;
use support::kubernetes::Binary;
use support::{cases, scenarios};

type Fixture = cases::Fixture<Binary>;
type Case = cases::Case<Binary>;

fn main() -> ExitCode {
    cases::run([scenarios::everywhere()])
}
