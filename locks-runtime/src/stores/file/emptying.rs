//! The room that a released lock's record takes: for a moment, if the same lock is held again, and then no more.

use super::line::Line;
use super::lock_file::LockFile;
use super::parked::Kept;
use super::shared::Shared;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;

/// How long after its last hold a file is emptied.
const EMPTIED_AFTER: Duration = Duration::from_millis(500);

/// Keeps a file whose lock was released.
pub(super) fn keep(store: &Arc<Shared>, key: &Key, lock: LockFile, opened: Moment) {
    let released = store.world.now();
    if store.parked.put(key, Kept { lock, opened, released }) {
        store.world.spawn(empty_in_time(Arc::clone(store)));
    }
}

/// Runs for as long as anything is kept.
async fn empty_in_time(store: Arc<Shared>) {
    while !store.parked.is_done() {
        tokio::time::sleep(EMPTIED_AFTER).await;
        let now = store.world.now();
        empty(&store, |kept| now.since(kept.released) >= EMPTIED_AFTER);
    }
}

/// Empties all that is kept.
pub(super) fn empty_all(store: &Shared) {
    empty(store, |_| true);
}

fn empty(store: &Shared, is_due: impl Fn(&Kept) -> bool) {
    store.parked.take_if(is_due).iter().for_each(|Kept { lock, .. }| empty_now(store, lock));
}

/// Empties the file of a lock that was released a moment ago.
pub(super) fn empty_now(store: &Shared, lock: &LockFile) {
    if let Err(error) = empty_one(store, lock) {
        // The lock is free all the same.
        tracing::debug!(target: TARGET, error = %error.chain(), "a released lock's record stays in its file");
    }
}

/// Takes the room of a released lock's record from it, unless somebody has the lock by now: then that is the file's next record.
fn empty_one(store: &Shared, lock: &LockFile) -> Result<(), Error> {
    if lock.is_inherited() || !lock.try_lock()? {
        return Ok(());
    }
    let emptied = Line::of(lock).extended_beside(store, lock).and_then(|left| match left {
        None => lock.clear(),
        Some(_) => Ok(()),
    });
    lock.unlock();
    emptied
}
