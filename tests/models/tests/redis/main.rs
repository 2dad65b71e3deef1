//! The real Redis store, the real script and the whole engine on the model of Redis.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a schedule that is not clean has failed")]

mod conformance;
mod faults;
mod plans;
mod seeds;
