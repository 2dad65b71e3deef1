//! Watches of single nodes, as many as the client crate bears.
//!
//! After a broken connection the crate sets its watches anew, in requests of 128 KiB of paths each. All of them have one
//! number, and the second answer would break the connection again. So there are never more watches than fit into one;
//! what is not watched is looked at now and then.

use super::link::Trouble;
use super::session::Shared;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of paths one session watches at most.
const MOST: usize = 96 * 1024;

/// Ends at the next change of a node. Dropping it takes the watch off.
pub(super) type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Part of what may be watched.
struct Share {
    shared: Arc<Shared>,
    bytes: usize,
}

/// Who owns the node at `path`, and a watch on it, if there is room for one more.
pub(super) async fn watch(shared: &Arc<Shared>, path: String) -> Result<(i64, Option<Told>), Trouble> {
    let Some(share) = Share::take(shared, path.len()) else {
        let stat = shared.link.ask(|client| async move { client.check_stat(&path).await }).await?;
        let stat = stat.ok_or(Trouble::Told(zookeeper_client::Error::NoNode))?;
        return Ok((stat.ephemeral_owner, None));
    };
    let asked = shared.link.ask(|client| async move {
        let (_, stat, watcher) = client.get_and_watch_data(&path).await?;
        Ok((stat, watcher))
    });
    let (stat, watcher) = asked.await?;
    let told = async move {
        let _share = share;
        watcher.changed().await;
    };
    Ok((stat.ephemeral_owner, Some(Box::pin(told))))
}

impl Share {
    fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let room = |watched: usize| (watched + bytes <= MOST).then_some(watched + bytes);
        let watched: &AtomicUsize = &shared.watched;
        watched.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(Self { shared: shared.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shared.watched.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
