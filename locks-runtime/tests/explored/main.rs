//! The engine explored: deadlines against a store on a bad network, the local line in any order of events, and futures
//! that are dropped at every step. All of it runs under paused time, in the test's own runtime.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its stage has failed")]

mod deadlines;
mod delayed;
mod drops;
mod line;
mod network;
mod session;
mod steps;
