//! Other clients of a store: they exclude us and we exclude them.

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Locks, Mode};
use tempfile::TempPath;

use super::{granted, holding, queued};
use crate::HANG_LIMIT;
use crate::child::Child;
use crate::peers::Slot;

/// Another client's lock, which it has requested.
pub trait Other {
    /// Waits until it says that it waits, as a client does that polls.
    fn waits(&mut self);

    /// Waits until it says that it holds the lock.
    fn holds(&mut self);

    /// Whether it does not hold the lock for this long.
    fn is_kept_out(&mut self, during: Duration) -> bool;

    /// Makes it release the lock.
    fn release(&mut self);

    /// Waits until it has released the lock.
    fn has_released(&mut self);
}

/// A lock for which there is a process, which prints `holding` when it has it. Where it polls, it prints `waiting` before.
#[derive(Debug)]
pub struct ForOneLock {
    /// The process, which waits for the lock if it has to.
    pub process: Child,
    /// What makes it release the lock, and end.
    pub release: Option<Release>,
}

/// What makes a process release its lock.
#[derive(Debug)]
pub enum Release {
    /// The end of its input.
    EndOfInput,
    /// That this file is no longer there.
    Removal(TempPath),
}

impl Other for ForOneLock {
    fn waits(&mut self) {
        self.process.next_line("waiting");
    }

    fn holds(&mut self) {
        self.process.next_line("holding");
    }

    fn is_kept_out(&mut self, during: Duration) -> bool {
        self.process.is_silent_about("holding", during)
    }

    fn release(&mut self) {
        match self.release.take().unwrap() {
            Release::EndOfInput => self.process.hang_up(),
            Release::Removal(file) => file.close().unwrap(),
        }
    }

    fn has_released(&mut self) {
        assert!(self.process.wait().success());
    }
}

/// A lock of a client that a driver drives.
impl Other for Slot {
    fn waits(&mut self) {
        self.expect("waiting");
    }

    fn holds(&mut self) {
        self.expect("holding");
    }

    fn is_kept_out(&mut self, during: Duration) -> bool {
        self.is_silent_about("holding", during)
    }

    fn release(&mut self) {
        self.say("unlock");
    }

    fn has_released(&mut self) {
        self.expect("released");
    }
}

/// How the other client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// In the same queue as ours.
    InTheQueue,
    /// By trying again and again.
    ByPolling,
}

/// Both directions, twice; `begin` starts the other client.
pub async fn each_excludes_the_other<T: Other>(locks: &Locks, key: &str, waits: Waits, begin: impl Fn() -> T) {
    each_excludes_the_other_as(Mode::Exclusive, locks, key, waits, begin).await;
}

/// The same for our readers, or for those of us who have permits: the other client knows of neither.
pub async fn each_excludes_the_other_as<T: Other>(
    mode: Mode,
    locks: &Locks,
    key: &str,
    waits: Waits,
    begin: impl Fn() -> T,
) {
    let lock = || locks.lock(key).mode(mode);
    let mut last = None;
    for _ in 0..2 {
        let mut peer = begin();
        peer.holds();
        let busy = lock().wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert!(!busy.holder().unwrap().is_known(), "{busy}");
        // Long enough for an answer on the busiest machine.
        let late = lock().wait(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let waiting = tokio::spawn(lock().acquire());
        queued(locks, key, 1).await;
        assert_eq!(locks.inspect(key).await.unwrap().unwrap().holders.len(), 1);
        // One that polls may be faster than a waiter, and is started only when that holds the lock.
        let mut next = (waits == Waits::InTheQueue).then(&begin);
        if next.is_some() {
            queued(locks, key, 2).await;
        }
        assert!(!waiting.is_finished(), "two hold `{key}`");
        peer.release();
        let guard = granted(waiting).await;
        assert!(last < Some(guard.fence()));
        last = Some(guard.fence());
        let mut next = next.take().unwrap_or_else(&begin);
        if waits == Waits::ByPolling {
            next.waits();
        }
        assert!(next.is_kept_out(Duration::from_millis(300)), "two hold `{key}`");
        guard.check().unwrap();
        guard.release().await.unwrap();
        next.holds();
        assert!(lock().try_acquire().await.unwrap().is_none(), "two hold `{key}`");
        next.release();
        peer.has_released();
        next.has_released();
    }
}

/// The other client is killed while it holds the lock: we have it when what it had has expired, not before. Its TTL is to be
/// this long.
pub async fn a_killed_one_is_free_after_its_ttl(locks: &Locks, key: &str, ttl: Duration, slot: &Slot) {
    slot.expect("holding");
    // It renews; one that does not has no more than its TTL.
    let killed = Instant::now();
    slot.driver().kill();
    assert!(locks.lock(key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
    let guard = locks.lock(key).wait(HANG_LIMIT).acquire().await.unwrap();
    let took = killed.elapsed();
    println!("free {took:?} after the kill, with a TTL of {ttl:?}");
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// A process of ours is killed while it holds the lock, and the other client has it when what it had has expired. `begin`
/// lets the other client wait.
pub async fn it_has_the_lock_after_our_ttl<T: Other>(url: &str, key: &str, begin: impl FnOnce() -> T) {
    const TTL: u64 = 4;
    let (mut ours, _) = holding(TTL, url, key);
    let mut other = begin();
    other.waits();
    // Longer than the TTL: it is renewed.
    assert!(other.is_kept_out(Duration::from_secs(TTL + 1)), "two hold `{key}`");
    ours.kill();
    other.holds();
    other.release();
    other.has_released();
}
