//! Leases that only one entry has.

use super::entries::OwnLease;
use super::error::Failure;
use super::lease::{self, Granted, KeepAlive};
use super::shared::Shared;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;

/// A new one that lasts for `ttl`.
pub(super) async fn grant(shared: &Shared, ttl: Duration) -> Result<OwnLease, Failure> {
    let Granted { id, ttl, sent } = lease::grant_new(&shared.client, ttl).await?;
    Ok(OwnLease { id, ttl, ends: sent + ttl })
}

/// Lets it begin anew; returns when it ends now. It costs no raft entry, and works in a store that is out of space.
pub(super) async fn renew(shared: &Shared, own: OwnLease) -> Result<Moment, Failure> {
    let sent = shared.client.world.now();
    KeepAlive::open(&shared.client, own.id, shared.renewal_timeout()).await?;
    Ok(sent + own.ttl)
}

/// Ends one that is of no more use, with its key, in the background. One that ends soon anyway is left to that.
pub(super) fn revoke(shared: &Shared, own: OwnLease) {
    if own.ends.since(shared.client.world.now()) > shared.ttl {
        let client = Arc::clone(&shared.client);
        shared.client.world.spawn(async move {
            // Otherwise it expires.
            let _ = lease::revoke(&client, own.id).await;
        });
    }
}
