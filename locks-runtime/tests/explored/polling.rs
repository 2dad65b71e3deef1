//! Futures that a test polls itself, step by step, and may drop at any of them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;

/// More steps than any future here takes.
pub(crate) const MANY: usize = 2000;

/// If the future is not woken, other tasks get so many turns before time advances.
const IDLE_TURNS: usize = 8;

/// Whether a future was woken since its last poll.
#[derive(Debug)]
pub(crate) struct Woken {
    is_woken: AtomicBool,
    wakes: Notify,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.wakes.notify_one();
    }
}

impl Woken {
    /// A new future counts as woken, as in an executor.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { is_woken: AtomicBool::new(true), wakes: Notify::new() })
    }

    /// Polls `future` if it was woken; `None` if it was not.
    pub(crate) fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Option<Poll<F::Output>> {
        if !self.is_woken.swap(false, Ordering::SeqCst) {
            return None;
        }
        let waker = Arc::clone(self).into();
        Some(future.poll(&mut Context::from_waker(&waker)))
    }
}

/// Drives `future` for so many steps, and drops it there. A step is a poll if it was woken, or else a turn for all other
/// tasks. `None` if it has not ended by then.
pub(crate) async fn drive<F: Future>(steps: usize, future: F) -> Option<F::Output> {
    let (woken, mut idle_turns) = (Woken::new(), 0);
    let mut future = pin!(future);
    for _ in 0..steps {
        match woken.poll(future.as_mut()) {
            Some(Poll::Ready(value)) => return Some(value),
            Some(Poll::Pending) => idle_turns = 0,
            None if idle_turns < IDLE_TURNS => {
                idle_turns += 1;
                yield_now().await;
            }
            // Time stands still while a thread waits in the kernel, maybe for what only this future does.
            None => drop(timeout(Duration::from_millis(1), woken.wakes.notified()).await),
        }
    }
    None
}
