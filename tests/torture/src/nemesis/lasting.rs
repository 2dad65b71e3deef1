//! Faults that consist of one act again and again, for as long as they last.

use std::time::Duration;

use support::Daemon;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

/// A server that answers so late: it is paused, and runs for a moment in between.
pub(super) async fn slow(server: &Daemon, answers_after: Duration, length: Duration) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        block_in_place(|| server.pause());
        sleep(answers_after).await;
        block_in_place(|| server.resume());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Does `act`, which may block, some times a second.
pub(super) async fn repeat(length: Duration, act: impl Fn()) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        block_in_place(&act);
        sleep(Duration::from_millis(200)).await;
    }
}
