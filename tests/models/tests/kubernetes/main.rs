//! The real Kubernetes store, its real client and the whole engine on the model of API servers.

#![expect(clippy::print_stdout, reason = "a test says what it has explored")]

mod conformance;
mod faults;
mod plans;
mod seeds;
mod sessions;
