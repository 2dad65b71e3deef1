//! Renewing the session, and what is tidied up on that occasion.

use super::error::LEASE_GONE;
use super::extend;
use super::lease::{self, KeepAlive};
use super::names;
use super::queue;
use super::shared::Shared;
use crate::contract::Renewal;
use crate::values::error::Error;
use crate::world::clock::Moment;
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<Renewal, Error> {
    let timeout = shared.client.config.request_timeout().min(shared.ttl / 3);
    let sent = shared.client.world.now();
    let open = shared.keep_alive.lock().take();
    if let Some(mut stream) = open {
        match stream.renew(&shared.client, timeout).await {
            Some(true) => return Ok(renewed(shared, sent, stream)),
            Some(false) => return Err(Error::lost(LEASE_GONE)),
            None => {}
        }
    }
    let sent = shared.client.world.now();
    let stream = KeepAlive::open(&shared.client, shared.lease, timeout).await?;
    Ok(renewed(shared, sent, stream))
}

/// The request of `sent` was acknowledged. The renewal does not wait for what is due now.
fn renewed(shared: &Arc<Shared>, sent: Moment, stream: KeepAlive) -> Renewal {
    *shared.keep_alive.lock() = Some(stream);
    let audit = shared.entries.renewed().audit;
    let due = extend::due(shared, sent);
    if (audit || !due.is_empty()) && !shared.is_tidying.swap(true, Ordering::AcqRel) {
        let tidied = Arc::clone(shared);
        shared.client.world.spawn(async move {
            for entry in due {
                extend::tie_to_session_lease(&tidied, &entry).await;
            }
            if audit {
                withdraw_orphans(&tidied).await;
            }
            tidied.is_tidying.store(false, Ordering::Release);
        });
    }
    Renewal::complete()
}

/// Deletes the keys of this session that belong to no entry: a request that was never answered was carried out after all.
async fn withdraw_orphans(shared: &Shared) {
    let Ok(keys) = lease::keys(&shared.client, shared.lease).await else { return };
    for key in keys {
        let Some(number) = names::entry_number(&key, shared.lease) else { continue };
        if shared.entries.contains(number) {
            continue;
        }
        let key = String::from_utf8_lossy(&key).into_owned();
        tracing::warn!(key, "withdrawing an orphaned entry: the request that created it was never answered");
        let ours = Compare::lease(key.clone(), CompareOp::Equal, shared.lease);
        if shared.client.transaction(&queue::delete(ours, &key)).await.is_err() {
            shared.entries.orphaned_again();
        }
    }
}
