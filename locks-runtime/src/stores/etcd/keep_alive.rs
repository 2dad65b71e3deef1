//! Keeping the session's lease alive.

use super::error::LEASE_GONE;
use super::lease::KeepAlive;
use super::shared::Shared;
use crate::values::error::Error;
use crate::world::clock::Moment;
use std::sync::atomic::Ordering;

/// Renews the lease; returns when the request was sent that was acknowledged.
pub(super) async fn keep_alive(shared: &Shared) -> Result<Moment, Error> {
    let timeout = shared.renewal_timeout();
    let sent = shared.client.world.now();
    let open = shared.keep_alive.lock().take();
    if let Some(mut stream) = open {
        match stream.renew(&shared.client, timeout).await {
            Some(true) => return Ok(renewed(shared, sent, stream)),
            Some(false) => return Err(Error::lost(LEASE_GONE)),
            // What ended the stream may also have lost requests, or brought entries back, as restoring a snapshot does.
            None => shared.entries.orphaned_again(),
        }
    } else {
        // Before the first stream there was none to show such an end.
        shared.is_audit_due.store(true, Ordering::Release);
    }
    let sent = shared.client.world.now();
    let stream = KeepAlive::open(&shared.client, shared.lease(), timeout).await?;
    Ok(renewed(shared, sent, stream))
}

fn renewed(shared: &Shared, sent: Moment, stream: KeepAlive) -> Moment {
    *shared.keep_alive.lock() = Some(stream);
    shared.renewed.advance(sent);
    sent
}
