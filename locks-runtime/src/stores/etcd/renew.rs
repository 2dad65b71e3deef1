//! Renewing the session. On that occasion extended entries are tied to its lease again (`extend`), and what this process
//! has in the store is compared with what it should have (`audit`).

use super::audit;
use super::error::LEASE_GONE;
use super::extend;
use super::lease::KeepAlive;
use super::shared::Shared;
use crate::contract::Renewal;
use crate::values::error::Error;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<Renewal, Error> {
    let world = &shared.client.world;
    let before = shared.renewed_until();
    let then = keep_alive(shared).await? + shared.ttl;
    if shared.entries.renewed().audit && !shared.is_audited.swap(true, Ordering::AcqRel) {
        let audited = Arc::clone(shared);
        world.spawn(async move {
            audit::audit(&audited).await;
            audited.is_audited.store(false, Ordering::Release);
        });
    }
    let due = extend::due(shared, then);
    if !due.is_empty() {
        let (securing, secured) = tokio::sync::oneshot::channel::<()>();
        let session = Arc::clone(shared);
        world.spawn(async move {
            let _until_done = securing;
            let mut tasks = JoinSet::new();
            for entry in due {
                let session = Arc::clone(&session);
                tasks.spawn(async move { extend::secure(&session, &entry, then).await });
            }
            drop(tasks.join_all().await);
        });
        // Those that are not done in time are not covered by this renewal. One that is late itself does not wait.
        if before.since(world.now()) > shared.ttl / 2 {
            let _ = tokio::time::timeout(shared.ttl / 10, secured).await;
        }
    }
    Ok(Renewal::partial(extend::uncovered(shared, then)))
}

/// Renews the session's lease; returns when the request was sent that was acknowledged.
pub(super) async fn keep_alive(shared: &Shared) -> Result<Moment, Error> {
    let timeout = shared.renewal_timeout();
    let sent = shared.client.world.now();
    let open = shared.keep_alive.lock().take();
    if let Some(mut stream) = open {
        match stream.renew(&shared.client, timeout).await {
            Some(true) => return Ok(renewed(shared, sent, stream)),
            Some(false) => return Err(Error::lost(LEASE_GONE)),
            // Whatever ended the stream may have lost requests, or brought entries back: a snapshot that was restored.
            None => shared.entries.orphaned_again(),
        }
    }
    let sent = shared.client.world.now();
    let stream = KeepAlive::open(&shared.client, shared.lease, timeout).await?;
    Ok(renewed(shared, sent, stream))
}

fn renewed(shared: &Shared, sent: Moment, stream: KeepAlive) -> Moment {
    *shared.keep_alive.lock() = Some(stream);
    shared.renewed.advance(sent);
    sent
}
