//! A cache of watches that stay for a moment after their waiter has acquired the lock.
//!
//! A caller that had to wait for a lock often asks for it again at once. A watch of the queue that is there already reports
//! everything after the transaction that puts the next entry into the queue. A new one would have to begin first, and then
//! the queue be read for what happened in between: two more round trips in which the lock may lie free.

use super::multiplexer::Subscription;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// For how long an unused watch stays. Its notifications lie in memory meanwhile.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The watches of queues that had a waiter of this session until a moment ago.
#[derive(Debug)]
pub(super) struct WatchCache {
    world: World,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    watches: BTreeMap<Key, Cached>,
    /// A task removes the old ones.
    is_swept: bool,
}

#[derive(Debug)]
struct Cached {
    watch: Subscription,
    /// The revision up to which its notifications were received.
    seen: i64,
    since: Moment,
}

impl WatchCache {
    pub(super) fn new(world: &World) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), inner: Mutex::default() })
    }

    /// Takes the watch of this queue out of the cache, if there is one, and the revision after which it reports every deletion.
    pub(super) fn take(&self, key: &Key) -> Option<(Subscription, i64)> {
        self.inner.lock().watches.remove(key).map(|Cached { watch, seen, .. }| (watch, seen))
    }

    /// Puts a watch of a whole queue into the cache, whose notifications were received up to this revision.
    pub(super) fn put(self: &Arc<Self>, key: &Key, watch: Subscription, seen: i64) {
        let mut inner = self.inner.lock();
        inner.watches.insert(key.clone(), Cached { watch, seen, since: self.world.now() });
        if !std::mem::replace(&mut inner.is_swept, true) {
            self.world.spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Removes the watches that were not used for a while, until none is left.
async fn sweep(cache: Weak<WatchCache>) {
    loop {
        tokio::time::sleep(MAX_AGE).await;
        let Some(cache) = cache.upgrade() else { return };
        let mut inner = cache.inner.lock();
        let now = cache.world.now();
        inner.watches.retain(|_, cached| now.since(cached.since) < MAX_AGE);
        if inner.watches.is_empty() {
            inner.is_swept = false;
            return;
        }
    }
}
