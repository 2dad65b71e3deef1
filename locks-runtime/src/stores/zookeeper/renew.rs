//! Renewing a session, and ending one that is not renewed any more.

use super::extend;
use super::shared::Shared;
use crate::contract::Renewal;
use crate::values::error::Error;
use std::sync::Arc;

/// Any request keeps the session, but a server that is cut off from its leader still answers reads, while the leader
/// counts the session's time down. A `sync` can only be answered by the leader.
pub(super) async fn renew(shared: &Shared) -> Result<Renewal, Error> {
    let sent = shared.world().now();
    let limit = shared.config().request_timeout().min(shared.ttl / 3);
    let node = shared.config().node("");
    let synced = shared.client.request_within(limit, |client| async move { client.sync(&node).await });
    synced.await.map_err(|failure| shared.client.error(failure, "/"))?;
    let uncovered = extend::move_back_before(shared, sent + shared.ttl).await;
    shared.renewed.advance(sent);
    Ok(Renewal::partial(uncovered))
}

/// The client crate keeps the connection, and so the session, alive by itself for as long as this process runs: a
/// session that is not renewed must be closed from here.
pub(super) fn close_when_overdue(shared: &Arc<Shared>) {
    let world = shared.world().clone();
    let session = Arc::downgrade(shared);
    world.clone().spawn(async move {
        while let Some(shared) = session.upgrade() {
            let overdue = shared.renewed.load() + shared.client.timeout;
            let rest = overdue.since(world.now());
            if rest.is_zero() {
                shared.client.close();
                return;
            }
            drop(shared);
            tokio::time::sleep(rest).await;
        }
    });
}
