//! Looking at locks, and releasing one by force.

use super::client::{Changed, Client, Over};
use super::lease::{self, Lease};
use super::names;
use super::patch::{Claim, Patch};
use super::take::{self, Rounds};
use crate::contract::{Line, Listed, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    let (leases, server_ms) = match scope {
        Scope::Key(key) => {
            let read = client.get(&names::lease(key)).await?;
            if let Some(lease) = &read.lease {
                names::check(lease, key)?;
            }
            (read.lease.into_iter().collect(), read.server_ms)
        }
        Scope::Prefix(_) => {
            let listed = client.list(None).await?;
            (listed.leases, listed.server_ms)
        }
    };
    let mut lines = BTreeMap::new();
    for lease in &leases {
        if let Some(key) = names::key_of(lease).filter(|key| scope.contains(key.as_str()))
            && let Some(line) = line(key.clone(), lease, server_ms)
        {
            lines.insert(key, line);
        }
    }
    Ok(lines.into_values().collect())
}

/// Who holds it and who waits; `None` if nobody does. What has lapsed by the server's clock is shown as free, for it can be acquired,
/// or can soon.
fn line(key: Key, lease: &Lease, server_ms: Option<u64>) -> Option<Line> {
    let is_held = lease.holder.is_some() && !lease.is_over_at(server_ms, Duration::ZERO);
    let holder = is_held.then(|| {
        let (since_ms, until_ms) = lease.times();
        Listed { since_ms, until_ms, ..Listed::from(lease.record()) }.with_fence(lease.fence())
    });
    let waiters: Vec<_> = lease.line.iter().map(super::line::Waiting::holder).collect();
    (is_held || !waiters.is_empty()).then(|| Line::new(key, holder.into_iter().collect(), waiters))
}

/// Releases the lock by force, of the holder with this fence alone if one is given; returns how many entries that were.
///
/// A client of another project does not notice that its Lease is free, and takes it back: it stops when it sees another holder, within
/// its own duration. So it is given one that holds nothing, for so long.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let name = names::lease(key);
    let mut rounds = Rounds::of(client);
    loop {
        let read = client.get(&name).await?;
        let Some(lease) = read.lease else { return Ok(0) };
        names::check(&lease, key)?;
        if lease.is_coordinated {
            return Err(super::error::coordinated(&name));
        }
        let is_meant = fence.is_none_or(|fence| fence == lease.fence());
        let Some(holder) = lease.holder.as_deref().filter(|_| is_meant) else { return Ok(0) };
        let counted = usize::from(!lease.is_over_at(read.server_ms, Duration::ZERO));
        let is_done = if lease.is_ours() || holder.starts_with(NOBODY) {
            take::release(client, &lease, false).await.map_err(Error::from)?
        } else {
            displace(client, &lease).await?
        };
        if is_done {
            return Ok(counted);
        }
        rounds.next().await?;
    }
}

/// What the holder is called that is none.
const NOBODY: &str = "released-by-force_";

/// Returns whether it was done.
async fn displace(client: &Client, lease: &Lease) -> Result<bool, Error> {
    let identity = format!("{NOBODY}{:016x}{:016x}", client.world.bits(), client.world.bits());
    let claim = Claim {
        identity: &identity,
        record: "",
        duration: lease.duration().max(Duration::from_secs(1)),
        now_ms: client.world.wall_ms(),
    };
    let annotations = [(lease::HOLDER, None), (lease::FENCE, None)];
    let mut patch = Patch::unless_changed(lease).claim(lease, &claim);
    if lease.is_annotated {
        patch = patch.annotate(lease, &annotations);
    }
    let changed = client.patch(Over::Requests, &lease.name, patch, client.config.request_timeout()).await?;
    Ok(!matches!(changed, Changed::Refused(_)))
}
