//! By how much the machine is late to let this process run.
//!
//! A body ends when first the background thread has run, whose timer it is, and then the thread of the body. Each may be
//! late, also at the very moment at which a body ends and before any timer of this file has fired.

use super::now;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(5);

/// The thread of the bodies, and one that does what the background thread does: it sleeps, and is to run soon after.
static BODIES: Thread = Thread::new();
static OTHER: Thread = Thread::new();

/// Nanoseconds on the clock of [`now`].
struct Thread {
    /// When it is to run next.
    due: AtomicI64,
    /// How late it was, at the most.
    most: AtomicI64,
}

impl Thread {
    const fn new() -> Self {
        Self { due: AtomicI64::new(i64::MAX), most: AtomicI64::new(0) }
    }

    fn sleeps(&self) {
        self.due.store(nanos().saturating_add(5_000_000), Ordering::Relaxed);
    }

    fn wakes(&self) {
        self.most.fetch_max(nanos().saturating_sub(self.due.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// How late it was or, if it is late just now, is.
    fn late(&self) -> i64 {
        let now_late = nanos().saturating_sub(self.due.load(Ordering::Relaxed));
        self.most.load(Ordering::Relaxed).max(now_late)
    }
}

fn nanos() -> i64 {
    i64::try_from(now()).unwrap_or(i64::MAX)
}

/// In nanoseconds, by both threads together.
pub(crate) fn of_this_process() -> i64 {
    BODIES.late() + OTHER.late()
}

/// Watches both threads until it is dropped, and the other one for as long as the process lives.
#[expect(clippy::disallowed_methods, reason = "what is measured is a thread that nothing else uses")]
pub(crate) async fn watch() {
    std::thread::spawn(|| {
        loop {
            OTHER.sleeps();
            std::thread::sleep(TICK);
            OTHER.wakes();
        }
    });
    loop {
        BODIES.sleeps();
        tokio::time::sleep(TICK).await;
        BODIES.wakes();
    }
}
