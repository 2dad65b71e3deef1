//! Who holds what: looking once, and telling what changes.

use super::{Inner, LOOKS};
use crate::contract::{Change, Scope, beside};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The pause between two looks of a watch, and at most this share of the time goes into looking.
const PAUSE: Duration = Duration::from_millis(100);
const SHARE: u32 = 20;

/// So many files are looked at before other work of the background thread gets its turn.
const BATCH: usize = 64;

/// A lock that is held.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    fence: u64,
    pub(super) holder: Holder,
}

impl Seen {
    /// Whether both are one hold. Programs that leave no record leave the former fence.
    fn is(&self, other: &Self) -> bool {
        (self.fence, self.holder.is_known()) == (other.fence, other.holder.is_known())
    }
}

/// The locks in `scope` that are held.
pub(super) async fn scan(store: &Inner, scope: &Scope) -> Result<BTreeMap<Key, Seen>, Error> {
    let keys = match scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(_) => store.directory.keys()?,
    };
    let mut held = BTreeMap::new();
    for (number, key) in keys.into_iter().filter(|key| scope.contains(key.as_str())).enumerate() {
        match look(store, &key).await {
            Ok(Some(seen)) => drop(held.insert(key, seen)),
            Ok(None) => {}
            // Another user's file among ours must not hide all the others.
            Err(error) if error.kind() == ErrorKind::Unauthorized && matches!(scope, Scope::Prefix(_)) => {
                tracing::debug!(%key, %error, "a lock's file cannot be read");
            }
            Err(error) => return Err(error.with_key(&key)),
        }
        if number % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(held)
}

/// Who holds one lock. A record alone proves nothing: its writer may have been killed.
async fn look(store: &Inner, key: &Key) -> Result<Option<Seen>, Error> {
    let Some(lock) = store.directory.existing(key, false)? else {
        return Ok(None);
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let is_locked = lock.is_locked()?;
        let (record, _) = lock.read()?;
        let left = store.kept_for(&record);
        if !is_locked && left.is_none() {
            return Ok(None);
        }
        let is_signed = record.holder.as_ref().is_some_and(|holder| !store.has_ended(holder));
        if is_signed || left.is_some() || looks == LOOKS {
            let fence = record.fence.unwrap_or(0);
            return Ok(Some(Seen { fence, holder: store.describe(record.holder, left) }));
        }
        // Somebody takes it and has not signed yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Tells of changes from now on.
pub(super) async fn watch(store: Arc<Inner>, scope: Scope) -> Result<mpsc::Receiver<Change>, Error> {
    let now = scan(&store, &scope).await?;
    let (sender, receiver) = mpsc::channel(BATCH);
    beside(tell(store, scope, now, sender));
    Ok(receiver)
}

async fn tell(store: Arc<Inner>, scope: Scope, mut before: BTreeMap<Key, Seen>, sender: mpsc::Sender<Change>) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let start = store.world.now();
        let now = match scan(&store, &scope).await {
            Ok(now) => now,
            Err(error) if error.kind() == ErrorKind::Unavailable => continue,
            Err(error) => {
                tracing::warn!(%error, "the locks cannot be watched any more");
                return;
            }
        };
        pause = PAUSE.max(store.world.now().since(start) * SHARE);
        for change in changes(&before, &now) {
            if sender.send(change).await.is_err() {
                return;
            }
        }
        before = now;
    }
}

fn changes(before: &BTreeMap<Key, Seen>, now: &BTreeMap<Key, Seen>) -> Vec<Change> {
    let same = |key: &Key, seen: &Seen, others: &BTreeMap<Key, Seen>| others.get(key).is_some_and(|it| it.is(seen));
    let released = before.iter().filter(|(key, seen)| !same(key, seen, now));
    let acquired = now.iter().filter(|(key, seen)| !same(key, seen, before));
    released
        .map(|(key, _)| Change::Released(key.clone()))
        .chain(acquired.map(|(key, seen)| Change::Acquired(key.clone(), seen.holder.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(fences: &[(&str, u64)]) -> BTreeMap<Key, Seen> {
        let seen = |fence| Seen { fence, holder: Holder { version: 1, ..Holder::default() } };
        fences.iter().map(|(key, fence)| (Key::new(key).unwrap(), seen(*fence))).collect()
    }

    #[test]
    fn a_hold_that_follows_another_is_two_changes() {
        let told = changes(&held(&[("a", 1), ("b", 1), ("c", 1)]), &held(&[("a", 1), ("b", 2), ("d", 1)]));
        let told: Vec<_> = told
            .iter()
            .map(|change| match change {
                Change::Acquired(key, _) => format!("+{key}"),
                Change::Released(key) => format!("-{key}"),
            })
            .collect();
        assert_eq!(told, ["-b", "-c", "+b", "+d"]);
    }
}
