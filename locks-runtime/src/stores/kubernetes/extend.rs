//! How long a lock stays taken, whatever becomes of the process: the holder's own duration, which every observer keeps to.

use super::client::Changed;
use super::entries::{self, Status};
use super::error::ENTRY_GONE;
use super::patch::Patch;
use super::renew;
use super::shared::Shared;
use super::take::Rounds;
use crate::contract::Entry;
use crate::values::error::Error;
use std::sync::Arc;
use std::time::Duration;

fn gone() -> Error {
    Error::lost(ENTRY_GONE)
}

/// From before the request on, every renewal keeps it for what is left of that time.
pub(super) async fn extend(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    let until = shared.client.world.now() + least;
    let note = |state: &mut entries::EntryState| {
        state.extended_until = Some(state.extended_until.map_or(until, |before| before.max(until)));
        state.lease.clone().filter(|_| matches!(state.status(), Status::Held(_)))
    };
    let known = shared.entries.get(entry.number, note).flatten().ok_or_else(gone)?;
    renew::renew_one(shared, entry, &known, shared.client.config.request_timeout()).await?;
    match entries::status(&shared.entries, entry.number) {
        Some(Status::Held(_)) => Ok(()),
        _ => Err(gone()),
    }
}

/// From before the request on, no renewal keeps it.
pub(super) async fn lapse(shared: &Shared, entry: &Arc<Entry>, rest: Duration) -> Result<(), Error> {
    let until = shared.client.world.now() + rest;
    let note = |state: &mut entries::EntryState| {
        state.note(Status::Lapsing);
        state.extended_until = Some(until);
        state.lease.clone().filter(|_| state.status() == Status::Lapsing)
    };
    let known = shared.entries.get(entry.number, note).flatten().ok_or_else(gone)?;
    let identity = shared.identity(entry);
    let mut known = known.as_ref().clone();
    let mut rounds = Rounds::of(&shared.client);
    loop {
        let rest = until.since(shared.client.world.now());
        let patch = Patch::while_held(&known, &identity).renew(&known, rest, shared.next_renewal(entry, &known));
        let is_refused = match shared.patch(&known, patch).await? {
            Changed::Done(lease) => {
                shared.entries.get(entry.number, |state| state.read(lease));
                return Ok(());
            }
            Changed::Gone => false,
            Changed::Refused(_) => true,
        };
        let now = if is_refused { shared.client.get(&known.name).await?.lease } else { None };
        let Some(now) = now.filter(|lease| lease.uid == known.uid && lease.is_held_by(&identity)) else {
            entries::note(&shared.entries, entry.number, Status::Gone);
            return Err(gone());
        };
        known = now;
        rounds.next().await?;
    }
}
