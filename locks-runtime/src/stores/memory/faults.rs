//! Fault hooks: how a test makes the memory store behave like a network on a bad day.

use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::Notify;

/// Makes requests to a memory store fail; waiting and notification are not disturbed.
#[derive(Debug, Default)]
pub struct Faults {
    down: AtomicBool,
    refusing: AtomicBool,
    silent: AtomicBool,
    woken: Notify,
    full: AtomicBool,
    release_forbidden: AtomicBool,
    lost_answers: AtomicU32,
    blocked: Mutex<BTreeSet<String>>,
}

impl Faults {
    /// Whether every request fails with `Unavailable`, having done nothing.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Whether every request is refused with `Unauthorized`, as by a store whose administrator has removed the user. The error has
    /// two causes, one below the other: `db error`, and `the user was removed`.
    pub fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Whether requests hang, and do nothing until this is undone.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
        self.woken.notify_waiters();
    }

    /// Whether the store has no room for anything new: whatever adds to it is refused, and all else is answered, renewals too.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Whether the store refuses to let entries go, as after a right was revoked.
    pub fn set_release_forbidden(&self, forbidden: bool) {
        self.release_forbidden.store(forbidden, Ordering::SeqCst);
    }

    /// The next `count` requests do their work but answer `Unavailable`, as when a connection breaks in between.
    pub fn lose_answers(&self, count: u32) {
        self.lost_answers.store(count, Ordering::SeqCst);
    }

    /// Whether renewals pass over the entries of the lock `key`, as over a row that another transaction has locked: they
    /// lapse when they would have, while everything else of their session is renewed.
    pub fn set_renewal_blocked(&self, key: &str, blocked: bool) {
        let mut keys = self.blocked.lock();
        if blocked {
            keys.insert(key.to_owned())
        } else {
            keys.remove(key)
        };
    }

    pub(super) fn blocks_renewals(&self) -> bool {
        !self.blocked.lock().is_empty()
    }

    pub(super) fn blocks_renewal_of(&self, key: &Key) -> bool {
        self.blocked.lock().contains(key.as_str())
    }

    pub(super) async fn before(&self) -> Result<(), Error> {
        while self.silent.load(Ordering::SeqCst) {
            let woken = self.woken.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if !self.silent.load(Ordering::SeqCst) {
                break;
            }
            woken.await;
        }
        if self.refusing.load(Ordering::SeqCst) {
            return Err(refusal());
        }
        match self.down.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("the memory store is down: a test said so")),
            false => Ok(()),
        }
    }

    pub(super) fn room(&self) -> Result<(), Error> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("the memory store is full: a test said so")),
            false => Ok(()),
        }
    }

    pub(super) fn release(&self) -> Result<(), Error> {
        match self.release_forbidden.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Unauthorized, "no entry may leave the memory store: a test said so")),
            false => Ok(()),
        }
    }

    pub(super) fn after(&self) -> Result<(), Error> {
        let lost = self.lost_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        match lost {
            Ok(_) => Err(Error::unavailable("the answer of the memory store was lost: a test said so")),
            Err(_) => Ok(()),
        }
    }
}

/// As drivers have it, whose own text says little.
fn refusal() -> Error {
    let below = Error::new(ErrorKind::Unauthorized, "db error")
        .with_source(Error::new(ErrorKind::Unauthorized, "the user was removed"));
    Error::new(ErrorKind::Unauthorized, "the memory store refuses the user: a test said so").with_source(below)
}
