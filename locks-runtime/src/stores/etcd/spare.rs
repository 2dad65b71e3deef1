//! Watches that are kept for a moment after a turn has come.
//!
//! Whoever had to wait for a lock will often ask for it again at once. A watch of its line that is there already tells of
//! everything after the transaction that puts the next entry in line; a new one would have to begin first, and then the
//! line be looked at for what happened in between: two more round trips in which the lock may lie free.

use super::cluster::lock;
use super::hub::Watching;
use crate::contract::beside;
use crate::values::key::Key;
use crate::world::clock::{Clock, Moment};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// For how long a watch is kept that nobody uses. What it tells meanwhile lies in memory.
const KEPT: Duration = Duration::from_secs(1);

/// The watches of lines that nobody of this session waits in just now.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    watches: HashMap<Key, (Watching, Moment)>,
    /// Somebody throws the old ones away.
    swept: bool,
}

impl Spares {
    /// The watch of this line, if there is one.
    pub(super) fn take(&self, key: &Key) -> Option<Watching> {
        lock(&self.0).watches.remove(key).map(|(watch, _)| watch)
    }

    /// Keeps a watch of the whole line for who comes next.
    pub(super) fn keep(self: &Arc<Self>, key: &Key, watch: Watching) {
        let mut inner = lock(&self.0);
        inner.watches.insert(key.clone(), (watch, Clock::Boot.now()));
        if !std::mem::replace(&mut inner.swept, true) {
            beside(sweep(Arc::downgrade(self)));
        }
    }
}

/// Throws away what nobody has used for a while, until nothing is left.
async fn sweep(spares: Weak<Spares>) {
    loop {
        tokio::time::sleep(KEPT).await;
        let Some(spares) = spares.upgrade() else { return };
        let mut inner = lock(&spares.0);
        let now = Clock::Boot.now();
        inner.watches.retain(|_, (_, since)| now.since(*since) < KEPT);
        if inner.watches.is_empty() {
            inner.swept = false;
            return;
        }
    }
}
