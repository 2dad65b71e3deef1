//! Acquiring a lock when something is in the way: a store that refuses or is silent, what this process has left behind, a
//! future that is not polled, a leader that is wanted in spite of it. In paused time, on a store in memory.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod events;
mod ghosts;
mod joining;
mod leading;
mod limits;
mod long_waits;
mod refusals;
mod unpolled;

use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);
/// The client's, unless it is set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
