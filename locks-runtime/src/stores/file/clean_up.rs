//! Removing the files of locks that nobody has used for a while.
//!
//! A file is removed by who holds its lock, and whoever opened it before looks whether it is still there once the lock is
//! theirs. A program that does not look (flock(1)) could take the lock of a removed file for the lock: so only files go
//! that were idle for long, and not those of locks that are released now.

use super::counter;
use super::emptying;
use super::line::Line;
use super::lock_file::LockFile;
use super::shared::Shared;
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// For how long nobody may have held a lock before its file goes.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// The same where there is no room for another file or page: whoever opens a file locks it at once.
const IDLE_IF_FULL: Duration = Duration::from_secs(3);
/// How often all processes of a directory together look for such files.
const EVERY: Duration = Duration::from_secs(60);
/// For how long one look may go on: the next one finds what is left.
const LONGEST: Duration = Duration::from_secs(2);

/// Looks for idle files in the background, if nobody has for a while. Failing is no harm: the files stay.
pub(super) fn start(store: &Arc<Shared>) {
    if !store.is_clean_up_due(EVERY) {
        return;
    }
    let (world, store) = (store.world.clone(), Arc::clone(store));
    store.world.clone().spawn(async move {
        if let Some(Err(error)) = world.block(move || clean_up(&store)).await {
            tracing::debug!(target: TARGET, error = %error.chain(), "the files of idle locks stay");
        }
    });
}

/// Whether that error says that there is no room for another file, or for a record.
pub(super) fn is_full(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::StorageFull)
}

/// Removes what can be removed, for who found no room.
pub(super) async fn make_room(store: &Arc<Shared>) {
    emptying::empty_all(store);
    let (world, store) = (store.world.clone(), Arc::clone(store));
    if let Some(Err(error)) = world.block(move || remove_idle(&store, IDLE_IF_FULL)).await {
        tracing::debug!(target: TARGET, error = %error.chain(), "no room could be made for another lock");
    }
}

/// Removes idle files, unless another process has looked for them a moment ago.
fn clean_up(store: &Shared) -> Result<(), Error> {
    let Some(turn) = store.directory.clean_up_turn()? else { return Ok(()) };
    if !turn.try_lock()? {
        return Ok(());
    }
    let is_due = turn.length()? == 0 || turn.idle_for(store.world.wall_ms())? >= EVERY;
    let done = if is_due { turn.write_text(b"\n").and_then(|()| remove_idle(store, IDLE)) } else { Ok(()) };
    turn.unlock();
    done
}

/// Removes the files of locks that were idle for so long.
pub(super) fn remove_idle(store: &Shared, idle: Duration) -> Result<(), Error> {
    let begun = store.world.now();
    for key in store.directory.keys()? {
        if store.world.now().since(begun) > LONGEST {
            break;
        }
        let Ok(key) = key else { continue };
        // What is no lock's file, or somebody else's, is reported to whoever asks for that lock.
        if let Ok(Some(lock)) = store.directory.existing(&key, true) {
            remove_if_idle(store, &lock, idle)?;
        }
    }
    // What killed waiters have left where nobody asked since.
    for key in store.directory.keys_of_lines()? {
        Line::at(store.directory.line(&key)?).remove_dead(store)?;
    }
    Ok(())
}

fn remove_if_idle(store: &Shared, lock: &LockFile, idle: Duration) -> Result<(), Error> {
    let is_idle = |lock: &LockFile| Ok::<_, Error>(lock.idle_for(store.world.wall_ms())? >= idle);
    // Before it is locked, which would refuse others for a moment.
    if !is_idle(lock)? || !lock.try_lock()? {
        return Ok(());
    }
    let removed = lock.read().and_then(|(record, _)| {
        if !is_idle(lock)? || !lock.is_in_place()? || Line::of(lock).extended_beside(store, lock)?.is_some() {
            return Ok(());
        }
        if let Some(fence) = record.fence {
            counter::raise(&store.directory, fence)?;
        }
        lock.remove()
    });
    lock.unlock();
    removed
}
