//! One timer that ends before others.
//!
//! A thread that begins a timer of the background's wakes that thread, which sleeps until its first timer ends, unless it will
//! be up before anyway. Each request has its timeout, none of which ends in a good hour. So while there are requests, one
//! short timer runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shorter than the timeout of any request.
const LENGTH: Duration = Duration::from_millis(400);

/// Whether the timer runs.
#[derive(Debug, Default)]
pub(super) struct FirstTimer {
    runs: AtomicBool,
}

impl FirstTimer {
    /// Whether [`last`](FirstTimer::last) has to be spawned.
    pub(super) fn is_due(&self) -> bool {
        !self.runs.load(Ordering::Relaxed) && !self.runs.swap(true, Ordering::Relaxed)
    }

    /// Lasts as long as the timer.
    pub(super) async fn last(self: Arc<Self>) {
        tokio::time::sleep(LENGTH).await;
        self.runs.store(false, Ordering::Relaxed);
    }
}
