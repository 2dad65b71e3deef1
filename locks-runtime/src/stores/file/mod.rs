//! Locks between the processes of one machine, in files that the kernel locks (`file:///var/lock/app`).
//!
//! | when | what happens |
//! |---|---|
//! | crash, `kill -9` | the kernel frees the lock at once; a [kept](Session::keep) one stays until its time is over |
//! | pause | the lock stays held as long as the process exists; the engine still ends the hold after its TTL |
//! | partition | there is no network. Network file systems are refused where Linux tells of them |
//! | clock jump | nothing: locks have no clock, kept ones use the boot clock (outside of Linux the wall clock) |
//! | fork | a child holds nothing and cannot give back what its parent holds; open a client after the fork |
//! | power failure, reboot | every lock is free, kept ones too; fences go on from the wall clock |
//! | full disk | a lock whose fence cannot be written is not given: `Unavailable` |
//! | somebody deletes a held lock's file | the holder is told within 250 ms; until then two may hold, and the fence decides |
//!
//! One file a key, named by the percent-encoded key and `.lock`, never deleted: who waits has it open, and a lock on a
//! file without a name excludes nobody. A file is locked as by flock(1), so a shell script may take part:
//! `flock %2Fcron%2Fnightly.lock …` holds the lock `/cron/nightly`, as a holder without a record. Waiters of one
//! process are served in order; between processes it is whoever asks first, each about every 4 ms.
//!
//! Processes of different users need a common group on the directory and a umask that lets it write. On a file
//! system that ignores case, keys that differ in nothing else share one lock.

mod directory;
mod lock_file;
mod look;
mod place;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod timeline;

use self::directory::Directory;
use self::lock_file::LockFile;
use self::record::Record;
use self::session::FileSession;
use self::timeline::Timeline;
use crate::contract::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::{Holder, host};
use crate::values::key::Key;
use crate::world::World;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a lock is looked at, a millisecond apart, before somebody who left no record counts as its holder.
const LOOKS: u32 = 5;

/// The lock files of one directory.
#[derive(Debug)]
pub struct FileStore {
    store: Arc<Inner>,
}

/// What everything here needs to know.
#[derive(Debug)]
struct Inner {
    directory: Directory,
    timeline: Timeline,
    world: World,
    host: &'static str,
}

impl FileStore {
    /// The store in `directory`, which is made when it is first used.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` if the path is empty.
    pub fn new(directory: PathBuf, world: &World) -> Result<Self, Error> {
        // Absolute, so that a change of the working directory does not part us from ourselves.
        let directory = std::path::absolute(directory).map_err(|error| {
            Error::invalid_url("the file store needs a directory: `file:///path`").with_source(error)
        })?;
        let (directory, timeline) = (Directory::new(directory), Timeline::new(world));
        let store = Inner { directory, timeline, world: world.clone(), host: host() };
        Ok(Self { store: Arc::new(store) })
    }
}

impl Store for FileStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: false,
            outlives_process: false,
            force_release: false,
            notices_removal: true,
            shared: false,
            permits: false,
            multi_key: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            store.directory.create()?;
            Ok(Arc::new(FileSession::new(store, ttl)) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let held = look::scan(&store, &scope).await?;
            Ok(held.into_iter().map(|(key, seen)| Line::new(key, vec![seen.holder], Vec::new())).collect())
        })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(look::watch(Arc::clone(&self.store), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.force_release(&key).await.map_err(|error| error.with_key(&key)) })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}

impl Inner {
    /// Ends a kept lock whose holder has gone. A living holder's lock is the kernel's, and cannot be taken away.
    async fn force_release(&self, key: &Key) -> Result<usize, Error> {
        let Some(lock) = self.directory.existing(key, true)? else {
            return Ok(0);
        };
        let mut looks = 0;
        loop {
            looks += 1;
            if lock.try_lock()? {
                let ended = self.end_kept(&lock);
                lock.unlock();
                return ended;
            }
            let (record, _) = lock.read()?;
            match record.holder {
                Some(holder) if !self.has_ended(&holder) => {
                    let advice = format!(
                        "the kernel gives the lock to nobody else while process {} has its file open; end that process",
                        holder.pid
                    );
                    return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder)));
                }
                holder if looks == LOOKS => {
                    let advice = "the kernel gives the lock to nobody else while a process has its file open; \
                                  find that process with `fuser` or `lsof`, and end it";
                    let holder = self.describe(holder, None);
                    return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder)));
                }
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn end_kept(&self, lock: &LockFile) -> Result<usize, Error> {
        let (record, _) = lock.read()?;
        if self.kept_for(&record).is_none() {
            return Ok(0);
        }
        lock.write_kept(None)?;
        lock.clear_holder()?;
        Ok(1)
    }

    /// How long the lock stays taken though its holder may have gone.
    fn kept_for(&self, record: &Record) -> Option<Duration> {
        record.kept.as_ref().and_then(|kept| self.timeline.left(kept))
    }

    /// Whether the holder's process was one of this machine and is not to be seen any more.
    fn has_ended(&self, holder: &Holder) -> bool {
        let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw);
        holder.host == self.host && pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }

    /// The holder for a person to read, with what is odd about it.
    fn describe(&self, holder: Option<Holder>, left: Option<Duration>) -> Holder {
        let Some(mut holder) = holder else {
            return Holder::unknown_because("a program that leaves no record, such as flock(1)");
        };
        if let Some(left) = left {
            holder.remark = Some(format!("the lock is kept for {:.1} s more", left.as_secs_f64()));
        } else if self.has_ended(&holder) {
            let remark = "that process has ended and a child of it has the file open, or it runs in another container";
            holder.remark = Some(remark.to_owned());
        }
        holder
    }
}
