//! Locks between the processes of one machine, in files that the kernel locks (`file:///var/lock/app`).
//!
//! | when | what happens |
//! |---|---|
//! | crash, `kill -9` | the kernel frees the lock at once; an [extended](Session::extend) one stays until its time is over |
//! | pause | the lock stays held as long as the process exists; the engine still ends the hold after its TTL, a second at least |
//! | partition | there is no network. On Linux only file systems that are known to be local are accepted |
//! | clock jump | nothing: locks have no clock, extended ones use the boot clock (outside of Linux the wall clock) |
//! | fork | a child holds nothing and cannot release what its parent holds; open a client after the fork |
//! | power failure, reboot | every lock is free, extended ones too; fences go on from the wall clock |
//! | full disk, no more files | a lock whose record cannot be written is not granted: `Unavailable`; what is held stays held |
//! | a held lock's file, or the directory, is deleted or replaced | the holder loses the lock within 250 ms; until then two may hold, and the fence decides |
//! | another user makes the directory, a file or a link first | nothing of it is used: `Unauthorized`, with what to do |
//!
//! **Trust.** Every part of the directory's path must belong to root or to this process's user, and be in a directory where
//! nobody else may replace it (others may write only where it is sticky, as `/tmp` and `/run/lock` are). The directory itself
//! nobody else may write: it is made with mode 0700, and the files with 0600. So processes share a directory only if
//! they run as one user; for several users take a store with users of its own.
//!
//! **Files.** One for each key, named by the percent-encoded key and `.lock`. A released lock's file is emptied soon, and goes when
//! nobody has held the lock for ten minutes. `fences` has a number that no fence is above, so that the next one is greater whatever
//! was removed. A killed holder's file keeps its record, a page, for as long. Whoever removes files by hand holds their locks
//! meanwhile: `flock -n FILE rm FILE`.
//!
//! **Readers and permits** have the kernel's lock on the file, too, but shared: so they and a writer exclude each other as with
//! flock(1). Who of them holds beside whom, the line decides: each has a ticket there until its hold is over, with its record and
//! its mode, and holds by those in front. The lock's file says no more than that there are such holds.
//!
//! **Several locks** at one moment: a place in the line for each, and the kernel's locks only if all of them are to be had. `several`
//! is locked while one joins its lines, so that two such entries are in the same order everywhere.
//!
//! **The line.** Whoever has to wait takes a ticket, in a directory that is named as the file and ends in `.line`: the first in the
//! line tries, and who asks while there is a line stands behind it. A ticket is locked for as long as its process lives; one that
//! nobody has locked is removed by whoever finds it. For who holds the lock alone the line is about fairness: the lock itself is the
//! kernel's lock on the file, and so it excludes versions of this store that know of no line, and other programs. They do not
//! queue. A waiter whose process is stopped when its turn comes loses its ticket after a second in which the lock is free.
//!
//! A file is locked as by flock(1), so a shell script may take part, as a holder without a record, if it runs as the same
//! user and looks whether the file is still there: `exec 9>>FILE; flock 9; [ FILE -ef /dev/fd/9 ]`, or it begins anew.
//!
//! On a file system that ignores case, keys that differ in nothing else share one lock.

#[cfg(test)]
mod beside;
mod clean_up;
mod counter;
mod directory;
mod done;
mod emptying;
mod entries;
mod error;
mod file_system;
mod hold;
mod inspect;
#[cfg(test)]
mod leftovers;
mod line;
mod lock;
mod lock_file;
mod parked;
mod place;
mod record;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod ticket;
mod timeline;
mod trust;
mod turn;
mod wait;

use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store, boxed, poll};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use session::FileSession;
use shared::Shared;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a watch looks at the directory.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// The lock files of one directory.
#[derive(Debug)]
pub struct FileStore(Arc<Shared>);

impl FileStore {
    /// The store in `directory`, which is created when it is first used.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` if the path is empty.
    pub fn new(directory: PathBuf, world: &World) -> Result<Self, Error> {
        // Absolute, so that a change of the working directory does not lead elsewhere.
        let directory = std::path::absolute(directory).map_err(|error| {
            Error::invalid_url("the file store needs a directory: `file:///path`").with_source(error)
        })?;
        Ok(Self(Arc::new(Shared::new(directory, world))))
    }
}

impl Store for FileStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            notices_removal: true,
            shared: true,
            permits: true,
            multi_key: true,
            once: true,
            ..Capabilities::default()
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            // One that was just made has nothing to remove.
            if shared.directory.create()? {
                clean_up::start(&shared);
            }
            Ok(boxed(Arc::new(FileSession::new(shared, ttl))))
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let shared = Arc::clone(&self.0);
        Box::pin(inspect::inspect(shared, scope))
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let store = Arc::clone(&shared);
            poll::watch(&shared.world, LOOK_EVERY, move || inspect::watched(Arc::clone(&store), scope.clone())).await
        })
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { inspect::force_release(&shared, &key, None).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { inspect::force_release(&shared, &key, Some(fence)).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { done::read(&shared, key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { done::forget(&shared, key).await })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
