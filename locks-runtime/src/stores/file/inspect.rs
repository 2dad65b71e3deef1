//! Who holds what, and releasing it by force.

use super::line::{Line as Tickets, Queued};
use super::lock_file::LockFile;
use super::shared::{LOOKS, Shared};
use crate::contract::poll::Held;
use crate::contract::{Line, Listed, Scope};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// So many files are looked at before other work of the background thread gets its turn.
const BATCH: usize = 64;

/// What distinguishes two holds of a lock. Programs that leave no record leave the former fence.
pub(super) type HoldId = (u64, bool);

pub(super) async fn inspect(store: Arc<Shared>, scope: Scope) -> Result<Vec<Line>, Error> {
    let mut lines: BTreeMap<Key, Line> = BTreeMap::new();
    // First those who wait: by the time of the second look one of them may hold the lock, and is no waiter any more.
    let waited_for = waited_for(&store, &scope)?;
    let held = held(&store, scope).await?;
    for (key, holders) in held {
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
        let queued = tickets(store, &key).map_err(|error| error.with_key(&key))?.queued(store)?.into_iter();
        let waiters = queued.filter(|queued| queued.fence.is_none());
        let waiters: Vec<_> = waiters.map(|queued| store.describe(queued.holder, None)).collect();
        if !waiters.is_empty() {
            waited_for.insert(key, waiters);
        }
    }
    Ok(waited_for)
}

fn tickets(store: &Shared, key: &Key) -> Result<Tickets, Error> {
    store.directory.line(key).map(Tickets::at)
}

/// The locks in `scope` that are held, for a watch.
pub(super) async fn scan(store: Arc<Shared>, scope: Scope) -> Result<Held<HoldId>, Error> {
    let id = |listed: Listed| ((listed.fence.unwrap_or(0), listed.is_known()), listed.holder);
    let held = held(&store, scope).await?.into_iter();
    Ok(held.map(|(key, holders)| (key, holders.into_iter().map(id).collect())).collect())
}

/// Who holds the locks in `scope`, as far as they are held.
async fn held(store: &Arc<Shared>, scope: Scope) -> Result<BTreeMap<Key, Vec<Listed>>, Error> {
    let keys = match &scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(prefix) => taken(store, prefix.clone()).await?,
    };
    let mut held = BTreeMap::new();
    for (number, key) in keys.into_iter().enumerate() {
        match look(store, &key).await {
            Ok(holders) if holders.is_empty() => {}
            Ok(holders) => drop(held.insert(key, holders)),
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
    if lock.is_locked()? {
        return Ok(true);
    }
    let record = if lock.length()? > 0 { lock.read_head()? } else { return Ok(false) };
    Ok(store.extended_for(&record).is_some() || (record.is_shared && Tickets::of(&lock).is_there()))
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
async fn look(store: &Shared, key: &Key) -> Result<Vec<Listed>, Error> {
    let Some(lock) = store.directory.existing(key, false)? else {
        return Ok(Vec::new());
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let is_locked = lock.is_locked()?;
        let (record, _) = lock.read()?;
        let left = store.extended_for(&record);
        if !is_locked && left.is_none() {
            return if record.is_shared { sharing(store, &lock) } else { Ok(Vec::new()) };
        }
        let is_signed = record.holder.as_ref().is_some_and(|holder| !store.has_ended(holder));
        if is_signed || left.is_some() || looks == LOOKS {
            let is_first_record = record.holder.is_some() && record.extension.is_none();
            let written_ms = if is_first_record { lock.written_ms() } else { None };
            return Ok(vec![listed(store, record.holder, record.fence, left, written_ms)]);
        }
        // A process is acquiring it and has not written its record yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Those who hold a lock beside each other.
fn sharing(store: &Shared, lock: &LockFile) -> Result<Vec<Listed>, Error> {
    let holding = Tickets::of(lock).queued(store)?.into_iter().filter(|queued| queued.fence.is_some());
    Ok(holding
        .map(|Queued { holder, fence, left, written_ms, .. }| listed(store, holder, fence, left, written_ms))
        .collect())
}

fn listed(
    store: &Shared,
    holder: Option<Holder>,
    fence: Option<u64>,
    left: Option<Duration>,
    since_ms: Option<u64>,
) -> Listed {
    let mut listed = Listed::from(store.describe(holder, left));
    listed.fence = fence;
    listed.since_ms = since_ms;
    listed.until_ms =
        left.map(|left| store.world.wall_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
    listed
}

/// Ends the extension of a lock whose holder has gone; that of one fence only, if there is one. A living holder's lock is the
/// kernel's, and cannot be released by force.
pub(super) async fn force_release(store: &Shared, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let Some(lock) = store.directory.existing(key, true)? else {
        return Ok(0);
    };
    let mut looks = 0;
    loop {
        looks += 1;
        if lock.try_lock()? {
            let ended = end_extensions(store, &lock, fence);
            lock.unlock();
            return ended;
        }
        let (record, _) = lock.read()?;
        if record.is_shared && fence.is_some() {
            let ended = Tickets::of(&lock).end_extensions(store, fence, false)?;
            if ended > 0 {
                return Ok(ended);
            }
        }
        let holding = if record.is_shared {
            sharing(store, &lock)?.into_iter().map(|listed| (listed.fence, Some(listed.holder))).collect()
        } else {
            vec![(record.fence, record.holder)]
        };
        let is_known = |(_, holder): &(_, Option<Holder>)| {
            holder.as_ref().is_some_and(|holder| holder.is_known() && !store.has_ended(holder))
        };
        let known: Vec<_> = holding.iter().filter(|held| is_known(held)).collect();
        // Another one has the lock by now.
        if !known.is_empty() && fence.is_some() && known.iter().all(|(of, _)| *of != fence) {
            return Ok(0);
        }
        let meant = known.into_iter().find(|(of, _)| fence.is_none() || *of == fence);
        if let Some((_, Some(holder))) = meant {
            let advice = format!(
                "the kernel gives the lock to nobody else while process {} has its file open; end that process",
                holder.pid
            );
            return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder.clone())));
        }
        if looks == LOOKS {
            let advice = "the kernel gives the lock to nobody else while a process has its file open; \
                          find that process with `fuser` or `lsof`, and end it";
            let holder = store.describe(holding.into_iter().find_map(|(_, holder)| holder), None);
            return Err(Error::new(ErrorKind::Unsupported, advice).with_holder(Some(holder)));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// For whoever has the lock's file locked alone.
fn end_extensions(store: &Shared, lock: &LockFile, fence: Option<u64>) -> Result<usize, Error> {
    let (record, _) = lock.read()?;
    if record.is_shared {
        return Tickets::of(lock).end_extensions(store, fence, true);
    }
    if store.extended_for(&record).is_none() || (fence.is_some() && record.fence != fence) {
        return Ok(0);
    }
    lock.clear()?;
    Ok(1)
}
