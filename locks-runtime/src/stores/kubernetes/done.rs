//! What was done once: an annotation of the lock's Lease, which is not deleted while it has one.

use super::client::{Changed, Client};
use super::entries::{self, Status};
use super::error;
use super::lease::{self, Lease};
use super::names;
use super::patch::Patch;
use super::shared::Shared;
use super::take::{Rounds, fence_note};
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use std::sync::Arc;

/// Conditional on the entry's hold.
pub(super) async fn mark(shared: &Shared, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    let gone = || Error::lost(error::ENTRY_GONE);
    let held = |state: &mut entries::EntryState| {
        state.lease.clone().filter(|_| matches!(state.status(), Status::Held(_) | Status::Lapsing))
    };
    let known = shared.entries.get(entry.number, held).flatten().ok_or_else(gone)?;
    let (mut known, identity) = (Lease::clone(&known), shared.identity(entry));
    let mut rounds = Rounds::of(&shared.client);
    loop {
        let mut annotations = vec![(lease::DONE, Some(record.to_string()))];
        annotations.extend(fence_note(&known));
        let patch = Patch::while_held(&known, &identity).annotate(&known, &annotations);
        match shared.patch(&known, patch).await? {
            Changed::Done(lease) => {
                shared.entries.get(entry.number, |state| state.read(lease));
                return Ok(());
            }
            Changed::Gone => return Err(gone()),
            Changed::Refused(message) => {
                let now = shared.client.get(&known.name).await?.lease;
                let now = now.filter(|lease| lease.uid == known.uid && lease.is_held_by(&identity)).ok_or_else(gone)?;
                if now.is_annotated == known.is_annotated {
                    return Err(super::enter::invalid(&message));
                }
                known = now;
                rounds.next().await?;
            }
        }
    }
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    Ok(find(client, key).await?.and_then(|lease| lease.done))
}

/// Returns whether there was one.
pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    let mut rounds = Rounds::of(client);
    loop {
        let Some(lease) = find(client, key).await?.filter(|lease| lease.done.is_some()) else { return Ok(false) };
        if lease.is_made && lease.holder.is_none() && lease.line.is_empty() {
            if client.delete(&lease).await? {
                client.remembered.forget(&lease.name);
                return Ok(true);
            }
            rounds.next().await?;
            continue;
        }
        let mut annotations = vec![(lease::DONE, None)];
        annotations.extend(fence_note(&lease));
        let patch = Patch::unless_changed(&lease).annotate(&lease, &annotations);
        let limit = client.config.request_timeout();
        match client.patch(super::client::Over::Requests, &lease.name, patch, limit).await? {
            Changed::Done(_) | Changed::Gone => return Ok(true),
            Changed::Refused(_) => rounds.next().await?,
        }
    }
}

async fn find(client: &Client, key: &Key) -> Result<Option<Lease>, Error> {
    let found = client.get(&names::lease(key)).await?.lease;
    if let Some(lease) = &found {
        names::check(lease, key)?;
    }
    Ok(found)
}
