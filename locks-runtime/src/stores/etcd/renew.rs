//! Renewing the session. On that occasion extended entries are tied to its lease again (`extend`), and what this process
//! has in the store is compared with what it should have (`audit`).

use super::audit;
use super::extend;
use super::keep_alive::keep_alive;
use super::relocate::relocate;
use super::shared::Shared;
use crate::contract::Renewal;
use crate::values::error::{Error, ErrorKind};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<Renewal, Error> {
    let world = &shared.client.world;
    let before = shared.renewed_until();
    let then = match keep_alive(shared).await {
        // The lease is there, but one of its keys is not the user's to write any more.
        Err(error) if error.kind() == ErrorKind::Unauthorized => relocate(shared, &error).await?,
        renewed => renewed?,
    } + shared.ttl;
    let is_due = shared.is_audit_due.swap(false, Ordering::AcqRel) | shared.entries.renewed().audit;
    if is_due && !shared.is_audited.swap(true, Ordering::AcqRel) {
        let audited = Arc::clone(shared);
        world.spawn(async move {
            audit::audit(&audited).await;
            audited.is_audited.store(false, Ordering::Release);
        });
    }
    let due = extend::due(shared, then);
    if !due.is_empty() {
        let (securing, mut secured) = mpsc::channel::<Infallible>(1);
        for entry in due {
            let (session, until_done) = (Arc::clone(shared), securing.clone());
            world.spawn(async move {
                extend::secure(&session, &entry, then).await;
                drop(until_done);
            });
        }
        drop(securing);
        // Those that are not done in time are not covered by this renewal. One that is late itself does not wait.
        if before.since(world.now()) > shared.ttl / 2 {
            let _ = tokio::time::timeout(shared.ttl / 10, secured.recv()).await;
        }
    }
    Ok(Renewal::partial(extend::uncovered(shared, then)))
}
