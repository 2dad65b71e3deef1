//! Who holds what, and releasing it by force.

use super::line::Line as Waiters;
use super::lock_file::LockFile;
use super::shared::{LOOKS, Shared};
use crate::contract::poll::Held;
use crate::contract::{Line, Scope};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// So many files are looked at before other work of the background thread gets its turn.
const BATCH: usize = 64;

/// What tells two holds of a lock apart. Programs that leave no record leave the former fence.
pub(super) type HoldId = (u64, bool);

pub(super) async fn inspect(store: Arc<Shared>, scope: Scope) -> Result<Vec<Line>, Error> {
    let mut lines: BTreeMap<Key, Line> = BTreeMap::new();
    // First those who wait: by the time of the second look one of them may hold the lock, and is no waiter any more.
    let waited_for = waited_for(&store, &scope)?;
    let held = scan(Arc::clone(&store), scope).await?;
    for (key, holds) in held {
        let holders = holds.into_iter().map(|(_, holder)| holder).collect();
        lines.insert(key.clone(), Line::new(key, holders, Vec::<Holder>::new()));
    }
    for (key, waiters) in waited_for {
        let line =
            lines.entry(key.clone()).or_insert_with(|| Line::new(key, Vec::<Holder>::new(), Vec::<Holder>::new()));
        line.waiters = {
            let holds = |waiter: &Holder| line.holders.iter().any(|listed| listed.holder == *waiter);
            waiters.into_iter().filter(|waiter| !holds(waiter)).map(Into::into).collect()
        };
    }
    Ok(lines.into_values().collect())
}

/// Those who wait for the locks in `scope`.
fn waited_for(store: &Shared, scope: &Scope) -> Result<BTreeMap<Key, Vec<Holder>>, Error> {
    let keys = match scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(_) => store.directory.keys_of_lines()?,
    };
    let mut waited_for = BTreeMap::new();
    for key in keys.into_iter().filter(|key| scope.contains(key.as_str())) {
        let waiters = Waiters::at(store.directory.line(&key).map_err(|error| error.with_key(&key))?).waiters()?;
        if !waiters.is_empty() {
            waited_for.insert(key, waiters);
        }
    }
    Ok(waited_for)
}

/// The locks in `scope` that are held.
pub(super) async fn scan(store: Arc<Shared>, scope: Scope) -> Result<Held<HoldId>, Error> {
    let keys = match &scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(prefix) => taken(&store, prefix.clone()).await?,
    };
    let mut held = BTreeMap::new();
    for (number, key) in keys.into_iter().enumerate() {
        match look(&store, &key).await {
            Ok(Some(seen)) => drop(held.insert(key, vec![seen])),
            Ok(None) => {}
            Err(error) if matches!(scope, Scope::Prefix(_)) => pass_over(&key, error)?,
            // Of all in scope, only the store knows which one it was.
            Err(error) => return Err(error.with_key(&key)),
        }
        if number % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(held)
}

/// The keys that begin so and are not free. There may be a million free ones: they are looked at on a thread for such work.
async fn taken(store: &Arc<Shared>, prefix: String) -> Result<Vec<Key>, Error> {
    let (world, store) = (store.world.clone(), Arc::clone(store));
    let look_at_all = move || {
        let mut taken = Vec::new();
        for key in store.directory.keys()? {
            let key = key?;
            if key.as_str().starts_with(&prefix) {
                match is_taken(&store, &key) {
                    Ok(true) => taken.push(key),
                    Ok(false) => {}
                    Err(error) => pass_over(&key, error)?,
                }
            }
        }
        Ok(taken)
    };
    let panicked = || Error::new(ErrorKind::Unavailable, "the directory's files could not be looked at");
    world.block(look_at_all).await.ok_or_else(panicked)?
}

fn is_taken(store: &Shared, key: &Key) -> Result<bool, Error> {
    let Some(lock) = store.directory.existing(key, false)? else { return Ok(false) };
    Ok(lock.is_locked()? || (lock.length()? > 0 && store.extended_for(&lock.read()?.0).is_some()))
}

/// Something else in a file's place must not hide all the other locks.
fn pass_over(key: &Key, error: Error) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::Unauthorized | ErrorKind::Unsupported => {
            tracing::debug!(target: TARGET, key = %key.shown(), error = %error.chain(), "a lock's file cannot be read");
            Ok(())
        }
        _ => Err(error.with_key(key)),
    }
}

/// Who holds one lock. A record alone proves nothing: its writer may have been killed.
async fn look(store: &Shared, key: &Key) -> Result<Option<(HoldId, Holder)>, Error> {
    let Some(lock) = store.directory.existing(key, false)? else {
        return Ok(None);
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let is_locked = lock.is_locked()?;
        let (record, _) = lock.read()?;
        let left = store.extended_for(&record);
        if !is_locked && left.is_none() {
            return Ok(None);
        }
        let is_signed = record.holder.as_ref().is_some_and(|holder| !store.has_ended(holder));
        if is_signed || left.is_some() || looks == LOOKS {
            let fence = record.fence.unwrap_or(0);
            let holder = store.describe(record.holder, left);
            return Ok(Some(((fence, holder.is_known()), holder)));
        }
        // A process is acquiring it and has not written its record yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ends the extension of a lock whose holder has gone. A living holder's lock is the kernel's, and cannot be released by
/// force.
pub(super) async fn force_release(store: &Shared, key: &Key) -> Result<usize, Error> {
    let Some(lock) = store.directory.existing(key, true)? else {
        return Ok(0);
    };
    let mut looks = 0;
    loop {
        looks += 1;
        if lock.try_lock()? {
            let ended = end_extension(store, &lock);
            lock.unlock();
            return ended;
        }
        let (record, _) = lock.read()?;
        match record.holder {
            Some(holder) if !store.has_ended(&holder) => {
                let advice = format!(
                    "the kernel gives the lock to nobody else while process {} has its file open; end that process",
                    holder.pid
                );
                return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder)));
            }
            holder if looks == LOOKS => {
                let advice = "the kernel gives the lock to nobody else while a process has its file open; \
                              find that process with `fuser` or `lsof`, and end it";
                let holder = store.describe(holder, None);
                return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder)));
            }
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

fn end_extension(store: &Shared, lock: &LockFile) -> Result<usize, Error> {
    let (record, _) = lock.read()?;
    if store.extended_for(&record).is_none() {
        return Ok(0);
    }
    lock.clear()?;
    Ok(1)
}
