//! What was done once: a file for each key, named as the lock's and ending in `.done`. It is written beside, flushed to the disk, and
//! then renamed: so whoever reads it finds all of it or nothing, after a power failure too. Nobody cleans it up.

use super::directory::Directory;
use super::entries::OpenEntry;
use super::error::refused;
use super::lock_file::{LockFile, Rights};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Notes that it is done, if the entry holds the lock.
pub(super) async fn mark(
    store: &Arc<Shared>,
    entry: &Entry,
    open: Arc<Mutex<OpenEntry>>,
    record: Arc<str>,
) -> Result<(), Error> {
    let (shared, key) = (Arc::clone(store), entry.key.clone());
    // A disk takes its time.
    on_another_thread(store, move || {
        open.lock().check_held()?;
        let paths = Paths::of(&shared.directory, &key)?;
        let beside = LockFile::create(paths.beside.clone())?;
        beside.clear()?;
        beside.write_text(record.as_bytes())?;
        beside.flush()?;
        {
            // While it is renamed this process does not release the lock.
            let mut open = open.lock();
            open.check_held()?;
            fs::rename(&paths.beside, &paths.done).map_err(|error| refused("replace", &paths.done, error))?;
        }
        flush_names(&shared.directory)
    })
    .await
}

pub(super) async fn read(store: &Arc<Shared>, key: Key) -> Result<Option<String>, Error> {
    let shared = Arc::clone(store);
    on_another_thread(store, move || {
        if !shared.directory.is_there()? {
            return Ok(None);
        }
        let Some(file) = LockFile::open(Paths::of(&shared.directory, &key)?.done, Rights::Read)? else {
            return Ok(None);
        };
        file.read_text().map(|text| Some(String::from_utf8_lossy(&text).into_owned()))
    })
    .await
}

pub(super) async fn forget(store: &Arc<Shared>, key: Key) -> Result<bool, Error> {
    let shared = Arc::clone(store);
    on_another_thread(store, move || {
        if !shared.directory.is_there()? {
            return Ok(false);
        }
        let done = Paths::of(&shared.directory, &key)?.done;
        match fs::remove_file(&done) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => {
                removed.map_err(|error| refused("remove", &done, error))?;
                flush_names(&shared.directory).map(|()| true)
            }
        }
    })
    .await
}

/// Where the record of a key is, and where it is while it is written.
struct Paths {
    done: PathBuf,
    beside: PathBuf,
}

impl Paths {
    /// # Errors
    ///
    /// `InvalidKey` if the key makes no file name.
    fn of(directory: &Directory, key: &Key) -> Result<Self, Error> {
        let lock = directory.path_of(key)?;
        // Neither is longer than the lock's name, and neither is a lock's.
        Ok(Self { done: lock.with_extension("done"), beside: lock.with_extension("new") })
    }
}

/// The directory's names are on the disk.
fn flush_names(directory: &Directory) -> Result<(), Error> {
    let path = directory.path();
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| refused("flush", path, error))
}

async fn on_another_thread<T: Send + 'static>(
    store: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = store.world.block(work).await;
    done.unwrap_or_else(|| Err(Error::unavailable("the file store panicked; this is a bug worth reporting")))
}
