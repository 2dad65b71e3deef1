//! The real etcd store and the whole engine on the model of etcd.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a schedule that is not clean has failed")]

mod conformance;
mod faults;
mod plans;
mod seeds;
