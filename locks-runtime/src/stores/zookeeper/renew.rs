//! Renewing a session, and ending one that nobody renews.

use super::keep;
use super::session::Shared;
use crate::contract::beside;
use crate::values::error::Error;
use crate::world::clock::Clock;
use std::sync::Arc;

/// Any request keeps the session, but a server that is cut off from its leader still answers those that read, while
/// the leader counts the session's time down. What `sync` asks for, only the leader can answer.
pub(super) async fn renew(shared: &Arc<Shared>) -> Result<(), Error> {
    let sent = Clock::Boot.now();
    let limit = shared.config().attempt().min(shared.ttl / 3);
    let node = shared.config().node("");
    let synced = shared.link.ask_within(limit, |client| async move { client.sync(&node).await });
    synced.await.map_err(|trouble| shared.link.error(trouble, "/"))?;
    keep::hold_on(shared, sent + shared.ttl).await?;
    shared.renewed.advance(sent);
    Ok(())
}

/// The crate keeps the connection alive by itself, and so the session for as long as this process runs: one that is not
/// renewed must be ended by ourselves.
pub(super) fn end_when_overdue(shared: &Arc<Shared>) {
    let session = Arc::downgrade(shared);
    beside(async move {
        while let Some(shared) = session.upgrade() {
            let over = shared.renewed.load() + shared.link.granted;
            let rest = over.since(Clock::Boot.now());
            if rest.is_zero() {
                shared.link.end();
                return;
            }
            drop(shared);
            tokio::time::sleep(rest).await;
        }
    });
}
