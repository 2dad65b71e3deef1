//! Early notice that an entry was removed by others. The session's deadline does not depend on it.

use super::error::ENTRY_GONE;
use super::node_watch;
use super::shared::Shared;
use crate::contract::{Backoff, Entry};
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// Ends when one of the entry's nodes was deleted although the entry has not left.
pub(super) async fn removed(shared: &Arc<Shared>, entry: &Entry) -> Result<Infallible, Error> {
    let Some(nodes) = shared.nodes(entry) else { return pending().await };
    let mut looks: Vec<_> =
        shared.paths(entry, &nodes).map(|path| Box::pin(was_removed(shared, entry, path))).collect();
    poll_fn(|context| {
        let mut is_any_removed = false;
        looks.retain_mut(|look| match look.as_mut().poll(context) {
            Poll::Ready(is_removed) => {
                is_any_removed |= is_removed;
                false
            }
            Poll::Pending => true,
        });
        if is_any_removed { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Err(Error::lost(ENTRY_GONE))
}

/// Watches one of the entry's nodes: whether it was deleted by others. `false` if that cannot be known any more.
async fn was_removed(shared: &Arc<Shared>, entry: &Entry, path: String) -> bool {
    let world = shared.world();
    let (mut backoff, mut polled) = (Backoff::of_stream(world), None);
    loop {
        if polled.is_some() || !shared.watched.has_room(&path) {
            // Before the first look too: thousands may begin at once.
            let pause = polled.get_or_insert_with(|| Polled::new(shared)).pause();
            tokio::time::sleep(world.between(shared.ttl / 4, shared.ttl / 3).max(pause)).await;
        }
        match node_watch::watch(shared, path.clone()).await {
            // Another client's, in its place.
            Ok((owner, _)) if !shared.owns(entry, owner) => return !shared.ledger.is_leaving(entry.number),
            // A node that is moved to another session changes too, and is still there.
            Ok((_, Some(changed))) => {
                polled = None;
                changed.await;
            }
            Ok((_, None)) => polled = polled.or_else(|| Some(Polled::new(shared))),
            Err(failure) if failure.is_no_node() => return !shared.ledger.is_leaving(entry.number),
            Err(failure) if failure.is_temporary() => backoff.wait().await,
            // The renewal reports what became of the session.
            Err(_) => return false,
        }
    }
}

/// An entry that is polled. However many there are, they are polled a thousand times per second together.
struct Polled<'a>(&'a Shared);

impl<'a> Polled<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.polled.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.0.polled.load(Ordering::Relaxed).into())
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.0.polled.fetch_sub(1, Ordering::Relaxed);
    }
}
