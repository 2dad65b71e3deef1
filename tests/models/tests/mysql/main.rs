//! The real MariaDB store and the whole engine on the model of MariaDB.

#![expect(clippy::print_stdout, reason = "a test says what it has explored")]

mod conformance;
mod faults;
mod plans;
mod seeds;
