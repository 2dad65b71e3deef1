//! Entries that stay for a while even if this process ends.
//!
//! Such an entry is tied to a lease of its own that is not renewed. If the hold lasts longer than that, the entry is tied
//! to the session's lease again before its own one ends; if it is released sooner, it stays on its own lease (or on
//! another one for the time that is left) and lapses with that. The key's create revision stays the same throughout, and
//! each step is conditional on the last one, so that a request that is carried out late changes nothing.

use super::entries::{EntryState, Extension, TiedTo};
use super::error::{ENTRY_DELETED, Failure, Verdict};
use super::lease;
use super::queue;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn extend(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    let Some(created) = shared.created(entry) else { return Err(Error::lost(ENTRY_DELETED)) };
    for _ in 0..2 {
        match tie_to_own_lease(shared, entry, created, least).await {
            // The first of several attempts granted the lease, and it expired before the last.
            Err(failure) if failure.verdict == Verdict::LeaseGone => {
                shared.entries.update(entry, |state| state.extension = None);
            }
            other => return Ok(other?),
        }
    }
    Err(Error::lost("the lease for `hold_at_least` expired before the entry was tied to it"))
}

async fn tie_to_own_lease(shared: &Shared, entry: &Arc<Entry>, created: i64, least: Duration) -> Result<(), Failure> {
    let world = &shared.client.world;
    let new = Extension { until: world.now() + least, lease: lease::new_id(world), tied_to: TiedTo::Unknown(None) };
    let extension = shared.entries.update(entry, |state| state.extension.get_or_insert(new).clone());
    lease::grant(&shared.client, extension.lease, least).await?;
    let unchanged = Compare::mod_revision(shared.key(entry), CompareOp::Equal, created);
    match move_to_lease(shared, entry, unchanged, extension.lease).await? {
        Some(since) => {
            shared.entries.update(entry, |state| state.set_tied_to(TiedTo::OwnLease(since)));
            Ok(())
        }
        None => Err(Failure { verdict: Verdict::Unsupported, error: Error::lost(ENTRY_DELETED) }),
    }
}

/// The entries whose own lease would end before the session's, now that the session was renewed at `sent`.
pub(super) fn due(shared: &Shared, sent: Moment) -> Vec<Arc<Entry>> {
    let is_due =
        |extension: &Extension| extension.tied_to != TiedTo::SessionLease && extension.until <= sent + shared.ttl;
    shared.entries.collect(|entry, state, leaving| {
        let extension = state.extension.as_ref().filter(|extension| !leaving && is_due(extension));
        extension.map(|_| Arc::clone(entry))
    })
}

/// Ties the entry to the session's lease again. If etcd does not answer, the next renewal retries.
pub(super) async fn tie_to_session_lease(shared: &Shared, entry: &Entry) {
    let number = entry.number;
    let since = shared.entries.unless_leaving(number, |state| {
        let extension = state.extension.as_mut()?;
        let (TiedTo::OwnLease(since) | TiedTo::Unknown(Some(since))) = extension.tied_to else { return None };
        // Before it is sent: an entry that leaves from now on must not count on its own lease.
        extension.tied_to = TiedTo::Unknown(Some(since));
        Some(since)
    });
    let Some(since) = since.flatten() else { return };
    let unchanged = Compare::mod_revision(shared.key(entry), CompareOp::Equal, since);
    match move_to_lease(shared, entry, unchanged, shared.lease).await {
        Ok(Some(_)) => {
            shared.entries.get(number, |state| state.set_tied_to(TiedTo::SessionLease));
        }
        Ok(None) => {}
        Err(failure) => {
            tracing::debug!(target: TARGET, error = %failure.error.chain(), "an extended entry stays on its own lease until the next renewal");
        }
    }
}

/// If the entry is extended and its time is not over, ties it to a lease that is not renewed, so that it lapses by itself.
/// Returns whether it stays in the store so.
pub(super) async fn leave_to_lapse(shared: &Shared, entry: &Entry) -> Result<bool, Failure> {
    let known = |state: &mut EntryState| Some((state.extension.clone()?, state.created?));
    let Some((extension, created)) = shared.entries.get(entry.number, known).flatten() else { return Ok(false) };
    let rest = extension.until.since(shared.client.world.now());
    if rest.is_zero() {
        return Ok(false);
    }
    if matches!(extension.tied_to, TiedTo::OwnLease(_)) {
        return Ok(true);
    }
    let lease = lease::new_id(&shared.client.world);
    lease::grant(&shared.client, lease, rest).await?;
    // Whatever lease it is tied to: only a late request can come after this one, and that fails.
    match move_to_lease(shared, entry, shared.is_there(entry, created), lease).await {
        // The new lease expired before the entry was tied to it, and so nearly all of the time is over.
        Err(failure) if failure.verdict == Verdict::LeaseGone => Ok(false),
        other => other.map(|_| true),
    }
}

/// Ties the entry to a lease for `rest` that nobody renews.
pub(super) async fn lapse(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    let until = shared.client.world.now() + rest;
    let set_until = |state: &mut EntryState| {
        let new = Extension { until, lease: 0, tied_to: TiedTo::Unknown(None) };
        state.extension.get_or_insert(new).until = until;
    };
    shared.entries.get(entry.number, set_until);
    if leave_to_lapse(shared, entry).await? || rest.is_zero() { Ok(()) } else { Err(Error::lost(ENTRY_DELETED)) }
}

/// As [`leave_to_lapse`], for every extended entry that is there when the session ends.
pub(super) async fn leave_all_to_lapse(shared: &Shared) -> Result<(), Failure> {
    let extended = shared.entries.collect(|entry, state, is_leaving| {
        let extension = state.extension.as_ref().filter(|_| !is_leaving);
        extension.map(|_| Arc::clone(entry))
    });
    for entry in extended {
        leave_to_lapse(shared, &entry).await?;
    }
    Ok(())
}

/// Ties the key to `lease` under a condition; returns the revision since when it is, or `None` if it is not.
async fn move_to_lease(shared: &Shared, entry: &Entry, condition: Compare, lease: i64) -> Result<Option<i64>, Failure> {
    let key = shared.key(entry);
    let answer =
        shared.transaction(entry, &queue::move_to_lease(condition, &key, entry.holder.to_json(), lease)).await?;
    if answer.succeeded() {
        return Ok(Some(queue::revision(answer.header())));
    }
    // An earlier attempt of ours may have been carried out without an answer.
    Ok(queue::key_read(&answer).filter(|key| key.lease == lease).map(|key| key.modified))
}
