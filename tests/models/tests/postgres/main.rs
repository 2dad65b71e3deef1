//! The real PostgreSQL store, its real client and the whole engine on the model of PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a schedule that is not clean has failed")]
#![expect(clippy::print_stdout, reason = "a test says what it has explored")]

mod conformance;
mod faults;
mod plans;
mod seeds;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each test: the engine tells the clients of one process by random numbers, which are the same for the same seed.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}
