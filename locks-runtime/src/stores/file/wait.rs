//! Waiting until a file is unlocked.
//!
//! The kernel wakes only a thread that is blocked on the file. A few of those are at hand, so that hand-offs take microseconds; with
//! more waiters than these, the others look every few milliseconds, and more rarely the more there are in front of them.

use super::lock_file::{LockFile, Others, Rights};
use super::shared::Shared;
use crate::values::error::Error;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many threads of one client wait in the kernel.
const THREADS: usize = 8;

/// What a waiter waits for: that nobody has this file locked, or nobody has it alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) path: PathBuf,
    pub(super) of: Others,
    /// How often to look at it, where no thread waits.
    pub(super) pause: Duration,
    /// After which time to return in any case.
    pub(super) limit: Duration,
}

/// One waiter's way to wait.
pub(super) struct Waiting {
    store: Arc<Shared>,
    /// A thread that waits for this file to be unlocked. It goes on if nobody waits for it any more.
    thread: Option<(PathBuf, Thread)>,
}

/// Ends when the thread has.
type Thread = Pin<Box<dyn Future<Output = Option<()>> + Send>>;

impl Waiting {
    pub(super) fn new(store: &Arc<Shared>) -> Self {
        Self { store: Arc::clone(store), thread: None }
    }

    /// Returns when the file may be unlocked, or is there no more, and after the limit.
    pub(super) async fn until_unlocked(&mut self, awaited: Awaited) -> Result<(), Error> {
        let Awaited { path, of, pause, limit } = awaited;
        if self.thread.as_ref().is_none_or(|(awaited, _)| *awaited != path) {
            self.thread = Slot::take(&self.store).map(|slot| (path.clone(), self.start(slot, path.clone(), of)));
        }
        match &mut self.thread {
            Some((_, done)) => {
                if tokio::time::timeout(limit, done).await.is_ok() {
                    self.thread = None;
                }
                Ok(())
            }
            None => look_now_and_then(&path, pause, limit).await,
        }
    }

    fn start(&self, slot: Slot, path: PathBuf, others: Others) -> Thread {
        let world = self.store.world.clone();
        let wait = move || {
            let _taken = slot;
            // What goes wrong here is found by whoever tries next.
            if let Ok(Some(file)) = LockFile::open(path, Rights::Read) {
                file.wait_until_free(others);
            }
        };
        Box::pin(async move { world.block(wait).await })
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("thread", &self.thread.as_ref().map(|(path, _)| path)).finish_non_exhaustive()
    }
}

async fn look_now_and_then(path: &Path, pause: Duration, limit: Duration) -> Result<(), Error> {
    let mut left = limit;
    while !left.is_zero() {
        let step = pause.min(left);
        tokio::time::sleep(step).await;
        left -= step;
        match LockFile::open(path.to_owned(), Rights::Read)? {
            Some(file) if file.is_locked()? => {}
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// One of the threads.
#[derive(Debug)]
struct Slot(Arc<Shared>);

impl Slot {
    fn take(store: &Arc<Shared>) -> Option<Self> {
        let more = |taken: usize| (taken < THREADS).then_some(taken + 1);
        let taken = store.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self(Arc::clone(store)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
