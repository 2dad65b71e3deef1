//! What an operator does again until it is done, on a cluster that may be in an election.

use std::fmt::Display;
use std::time::Duration;

use support::etcd::Etcd;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

/// What takes longer hangs: a fault that takes minutes, because a hundred threads want each core, is no failure.
const HANG_LIMIT: Duration = Duration::from_secs(900);

/// Between one attempt and the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// Attempts at one thing.
#[derive(Debug)]
pub(super) struct Retries(Instant);

impl Retries {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Waits for the next attempt.
    ///
    /// # Panics
    ///
    /// If the thing hangs: a fault that cannot be ended leaves nothing to be learned from the run.
    #[expect(clippy::panic, reason = "a fault that cannot be ended")]
    pub(super) async fn after(&self, failure: impl Display) {
        if self.0.elapsed() > HANG_LIMIT {
            panic!("not done within {HANG_LIMIT:?}: {failure}");
        }
        sleep(INTERVAL).await;
    }
}

/// Returns when the member answers.
pub(super) async fn ready(member: &Etcd) {
    let retries = Retries::begin();
    while !block_in_place(|| member.is_ready()) {
        retries.after(format!("{} does not answer\n{}", member.endpoint(), member.log_tail())).await;
    }
}
