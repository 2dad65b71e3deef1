//! The real Redis store, the real script and the whole engine on the model of Redis.

#![expect(clippy::print_stdout, reason = "a test says what it has explored")]

mod conformance;
mod faults;
mod lines;
mod long;
mod plans;
mod replicated;
mod seeds;
