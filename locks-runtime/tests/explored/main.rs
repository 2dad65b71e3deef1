//! The engine explored: deadlines with a store behind a bad network, the queue in random orders of events, and futures
//! that are dropped at every step. All of it runs in paused time, in the test's own runtime.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod deadlines;
mod delayed;
mod drops;
mod network;
mod polling;
mod queue;
mod scenarios;
mod session;
