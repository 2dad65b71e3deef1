//! What a thread that ends waits for: the releases that it has begun by dropping something.
//!
//! A destructor cannot await, and must not block the runtime in which it runs. So a dropped hold is released on the
//! background thread, which dies with the process. A program that drops a call and returns from `main` would often be
//! gone before the request is out, and the lock taken for the rest of its TTL. The thread that dropped it therefore waits
//! when it ends itself, and runs nothing else any more: for a moment, and only if the request is not answered by then.
//!
//! `std::process::exit` called by another thread, `abort` and signals skip it, as does a system that does not run the
//! destructors of the main thread's locals (Windows and musl): `Locks::close` before the end needs none of this.

use super::process::Process;
use crate::values::mutex::Mutex;
use std::cell::OnceCell;
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

/// How long a thread waits at the most: some round trips to a store that answers.
const LIMIT: Duration = Duration::from_millis(300);

thread_local! {
    static UNFINISHED: OnceCell<Departures> = const { OnceCell::new() };
}

/// What this thread has begun and what has not ended.
#[derive(Debug)]
struct Departures {
    unfinished: Arc<Unfinished>,
    process: Process,
    limit: Duration,
}

#[derive(Debug, Default)]
struct Unfinished {
    count: Mutex<usize>,
    none_left: Condvar,
}

/// Something that this thread waits for when it ends, unless this is dropped before.
#[derive(Debug)]
pub(crate) struct Departure(Arc<Unfinished>);

impl Departure {
    /// `None` on a thread that is ending already.
    pub(crate) fn begin() -> Option<Self> {
        let unfinished =
            UNFINISHED.try_with(|here| Arc::clone(&here.get_or_init(|| Departures::none(LIMIT)).unfinished)).ok()?;
        *unfinished.count.lock() += 1;
        Some(Self(unfinished))
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.none_left.notify_all();
    }
}

impl Departures {
    fn none(limit: Duration) -> Self {
        Self { unfinished: Arc::default(), process: Process::current(), limit }
    }
}

impl Drop for Departures {
    fn drop(&mut self) {
        if self.process.is_another() {
            // The parent has the background thread.
            return;
        }
        let count = self.unfinished.count.lock();
        let waited = self.unfinished.none_left.wait_timeout_while(count, self.limit, |count| *count > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread::Builder;

    #[test]
    fn what_is_left_waits_for_what_was_begun() {
        let departures = Departures::none(Duration::from_secs(3600));
        *departures.unfinished.count.lock() += 1;
        let departure = Departure(Arc::clone(&departures.unfinished));
        let (ended, end) = mpsc::channel();
        let thread = Builder::new()
            .spawn(move || {
                drop(departures);
                ended.send(()).unwrap();
            })
            .unwrap();
        let early = end.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "it did not wait");
        drop(departure);
        end.recv().unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_thread_ends_although_a_store_does_not_answer() {
        let (begun, beginning) = mpsc::channel();
        let thread = Builder::new().spawn(move || begun.send(Departure::begin().unwrap()).unwrap()).unwrap();
        let _unanswered = beginning.recv().unwrap();
        thread.join().unwrap();
    }
}
