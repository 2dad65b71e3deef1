//! Renewing the session. Orphaned entries are looked for on that occasion (`orphans`), and extended ones tied again.

use super::error::LEASE_GONE;
use super::extend;
use super::lease::KeepAlive;
use super::orphans;
use super::shared::Shared;
use crate::contract::Renewal;
use crate::values::error::Error;
use crate::world::clock::Moment;
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
                orphans::withdraw(&tidied).await;
            }
            tidied.is_tidying.store(false, Ordering::Release);
        });
    }
    Renewal::complete()
}
