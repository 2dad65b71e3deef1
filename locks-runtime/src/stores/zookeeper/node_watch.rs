//! Watches of single nodes, as many as the client crate can re-establish.
//!
//! After a broken connection the crate sets its watches again, in requests of 128 KiB of paths each. All these requests
//! have the same number, so that the second answer would break the connection again. There are therefore never more
//! watches than fit into one request; nodes beyond that are polled.

use super::error::Failure;
use super::shared::Shared;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many bytes of paths one session watches at most.
const MOST_BYTES: usize = 96 * 1024;

/// Ends at the next change of a node. Dropping it removes the watch.
pub(super) type Changed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Part of the bytes that may be watched.
struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

/// The session that owns the node at `path`, and a watch on it if there is room for one more.
pub(super) async fn watch(shared: &Arc<Shared>, path: String) -> Result<(i64, Option<Changed>), Failure> {
    let Some(reservation) = Reservation::take(shared, path.len()) else {
        let stat = shared.client.request(|client| async move { client.check_stat(&path).await }).await?;
        return Ok((stat.ok_or_else(Failure::no_node)?.ephemeral_owner, None));
    };
    let request = shared.client.request(|client| async move {
        let (_, stat, watcher) = client.get_and_watch_data(&path).await?;
        Ok((stat, watcher))
    });
    let (stat, watcher) = request.await?;
    let changed = async move {
        let _reservation = reservation;
        watcher.changed().await;
    };
    Ok((stat.ephemeral_owner, Some(Box::pin(changed))))
}

impl Reservation {
    fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let room = |watched: usize| (watched + bytes <= MOST_BYTES).then_some(watched + bytes);
        shared.watched_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(Self { shared: Arc::clone(shared), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.watched_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
