//! Other clients of a store: they exclude us and we exclude them.

use std::time::Duration;

use distributed_locks::{ErrorKind, Locks};
use tempfile::TempPath;

use super::{granted, queued};
use crate::child::Child;

/// Another client's lock, in a process that prints `holding` when it has it. Where it polls, it prints `waiting` before.
#[derive(Debug)]
pub struct Peer {
    /// The process, which waits for the lock if it has to.
    pub process: Child,
    /// What makes it release the lock, and end.
    pub release: Release,
}

/// What makes a process release its lock.
#[derive(Debug)]
pub enum Release {
    /// The end of its input.
    EndOfInput,
    /// That this file is no longer there.
    Removal(TempPath),
}

impl Peer {
    fn release(self) -> Child {
        let Peer { mut process, release } = self;
        match release {
            Release::EndOfInput => process.hang_up(),
            Release::Removal(file) => file.close().unwrap(),
        }
        process
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
pub async fn each_excludes_the_other(locks: &Locks, key: &str, waits: Waits, begin: impl Fn() -> Peer) {
    let mut last = None;
    for _ in 0..2 {
        let mut peer = begin();
        peer.process.next_line("holding");
        let busy = locks.lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert!(!busy.holder().unwrap().is_known(), "{busy}");
        // Long enough for an answer on the busiest machine.
        let late = locks.lock(key).wait(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let waiting = tokio::spawn(locks.lock(key).acquire());
        queued(locks, key, 1).await;
        assert_eq!(locks.inspect(key).await.unwrap().unwrap().holders.len(), 1);
        // One that polls may be faster than a waiter, and is started only when that holds the lock.
        let mut next = (waits == Waits::InTheQueue).then(&begin);
        if next.is_some() {
            queued(locks, key, 2).await;
        }
        assert!(!waiting.is_finished(), "two hold `{key}`");
        let mut ended = peer.release();
        let guard = granted(waiting).await;
        assert!(last < Some(guard.fence()));
        last = Some(guard.fence());
        let mut next = next.take().unwrap_or_else(&begin);
        if waits == Waits::ByPolling {
            next.process.next_line("waiting");
        }
        assert!(next.process.is_silent_about("holding", Duration::from_millis(300)), "two hold `{key}`");
        guard.check().unwrap();
        guard.release().await.unwrap();
        next.process.next_line("holding");
        assert!(locks.lock(key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
        assert!(ended.wait().success() && next.release().wait().success());
    }
}
