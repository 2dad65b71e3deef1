//! How an entry ends: at once, or by itself when the time is over for which it is extended.

use super::batch;
use super::entries::{EntryState, Extension, Lapse, OwnLease};
use super::error::{ENTRY_DELETED, Failure, Verdict};
use super::names;
use super::own_lease;
use super::part::Part;
use super::queue;
use super::shared::Shared;
use super::whole;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use etcd_client::{Compare, CompareOp, GetOptions};
use std::sync::Arc;
use std::time::Duration;

/// The shortest lease that etcd grants, with its defaults. Nothing can lapse more precisely.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// Takes the entry out of the store.
pub(super) async fn leave(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    let known = shared.entries.leaving(entry.number, |state| state.created.filter(|_| !state.may_be_anothers()));
    if known.is_none() && !shared.entries.is_orphan(entry.number) {
        // It was never sent, or refused, or has left before.
        return Ok(());
    }
    let is_ours = |key: &str| match known.flatten() {
        Some(created) => Compare::create_revision(key, CompareOp::Equal, created),
        // No other entry of ours ever has its name, and who adopts it writes a record of its own. On which lease it is depends on
        // which request was carried out.
        None => Compare::value(key, CompareOp::Equal, names::content(entry)),
    };
    let keys = shared.keys(entry);
    let part = Part::about(&shared.ranges(entry), queue::delete(&keys, is_ours));
    let mut left = batch::carry_out(&shared.client, part).await.map(|carried| carried.succeeded);
    // Of several one may be gone, or forbidden: each of the others leaves by itself.
    let is_whole = left.as_ref().map_or_else(|failure| !failure.verdict.is_permanent(), |is_whole| *is_whole);
    if !is_whole && !entry.others.is_empty() {
        left = Ok(false);
        for ((key, range), lock) in keys.iter().zip(shared.ranges(entry)).zip(entry.keys()) {
            let part = Part::of(&range, queue::delete(std::slice::from_ref(key), is_ours));
            let alone = batch::carry_out(&shared.client, part).await;
            if alone.is_ok() {
                entry.note_left(lock);
            }
            left = left.and(alone.map(|_| false));
        }
    }
    if let Err(failure) = left {
        let failure = failure.about(shared.range(entry).start());
        if failure.verdict.is_permanent() {
            // A right that was revoked may be granted again: renewals of the session retry it.
            shared.entries.get(entry.number, |state| state.is_refused = true);
            shared.entries.orphaned_again();
        }
        return Err(failure.into());
    }
    for own in shared.entries.get(entry.number, |state| own_leases(state).to_vec()).unwrap_or_default() {
        own_lease::revoke(shared, own);
    }
    shared.entries.left(entry.number);
    Ok(())
}

fn own_leases(state: &EntryState) -> &[OwnLease] {
    state.extension.as_ref().map_or(&[], |extension| &extension.own)
}

/// The hold is over: ties the entry to a lease that ends after `rest` and is not renewed. `Lost` if the entry is gone.
pub(super) async fn lapse(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    let now = shared.client.world.now();
    let known = shared.entries.leaving(entry.number, |state| {
        let until = now + rest;
        let lapse = state.lapse.insert(Lapse { until, first: state.lapse.map_or(until, |lapse| lapse.first) });
        Some((state.created?, *lapse, state.extension.as_ref().and_then(Extension::tied_to)))
    });
    let (created, lapse, tied_to) = known.flatten().ok_or_else(|| Error::lost(ENTRY_DELETED))?;
    if rest.is_zero() {
        return leave(shared, entry).await;
    }
    let ends_then = |own: &OwnLease| own.ends >= lapse.until && own.ends <= lapse.until + SHORTEST_LEASE;
    let is_there = match tied_to.filter(ends_then) {
        Some(_) => is_there(shared, entry, created).await?,
        None => match tie_for(shared, entry, created, rest).await {
            // It expired before the entry was tied to it, or somebody revoked it, perhaps long before the time is over.
            Err(failure) if failure.verdict == Verdict::LeaseGone => {
                if shared.client.world.now() >= lapse.until {
                    return leave(shared, entry).await;
                }
                // Not `Lost`: the entry is where it was, and a repetition grants another lease.
                return Err(Error::unavailable(
                    "the lease for the rest of `hold_at_least` ended before the entry was tied to it",
                ));
            }
            tied => tied?,
        },
    };
    if is_there || shared.client.world.now() >= lapse.first { Ok(()) } else { Err(Error::lost(ENTRY_DELETED)) }
}

async fn is_there(shared: &Shared, entry: &Entry, created: i64) -> Result<bool, Failure> {
    if !entry.others.is_empty() {
        return whole::are_there(shared, entry, created).await;
    }
    let read = shared.client.get(shared.key(entry), &GetOptions::new().with_keys_only()).await;
    let read = read.map_err(|failure| failure.about(shared.range(entry).start()))?;
    Ok(read.kvs().iter().any(|kv| kv.create_revision() == created))
}

/// Ties the entry to a new lease for `rest`, whatever it was tied to. Returns whether it was there.
async fn tie_for(shared: &Shared, entry: &Entry, created: i64, rest: Duration) -> Result<bool, Failure> {
    let own = own_lease::grant(shared, rest).await?;
    let is_there = |key: &str| Compare::create_revision(key, CompareOp::Equal, created);
    let tying = queue::tie(&shared.keys(entry), is_there, &names::content(entry), own.id);
    let tied = shared.transaction(entry, &tying).await?;
    if tied.succeeded() {
        // Only a late request can come after this one, and that fails: its condition is a revision before this one.
        shared.entries.get(entry.number, |state| {
            let since = queue::revision(tied.header());
            state.extension = Some(Extension { own: vec![own], modified: since, ..Extension::new(created) });
        });
    }
    Ok(tied.succeeded())
}

/// Lets go of all entries, now that the session ends: those whose time is not over lapse by themselves.
pub(super) async fn end_all(shared: &Shared) -> Result<(), Error> {
    let now = shared.client.world.now();
    let extended = shared.entries.collect(|entry, state, leaving| {
        let extension = state.extension.as_ref()?;
        let until = match state.lapse {
            Some(lapse) => Some(lapse.until).filter(|until| extension.tied_to().is_none_or(|own| own.ends < *until)),
            None if !leaving => Some(extension.until),
            None => None,
        };
        match until.filter(|until| *until > now) {
            Some(until) => Some((Arc::clone(entry), until)),
            // The session's end does not take it out.
            None => (state.lapse.is_none() && !extension.own.is_empty()).then(|| (Arc::clone(entry), now)),
        }
    });
    for (entry, until) in extended {
        match end(shared, &entry, until.since(now)).await {
            Err(error) if error.kind() != ErrorKind::Lost => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn end(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    if rest.is_zero() { leave(shared, entry).await } else { lapse(shared, entry, rest).await }
}
