//! Entries that stay for a while even if this process ends, and are protected no less than others meanwhile.
//!
//! If that while is within the TTL, the entry needs nothing but that its session was renewed since the lock was granted.
//! Otherwise it is tied to a lease of its own, which lasts for the whole of it and is not renewed. A hold that lasts longer
//! is tied to the session's lease again, by the first renewal that its own lease would not outlive. Until that is known to
//! be done, or its own lease to be renewed instead, the renewal does not cover the entry.
//!
//! The key's create revision stays the same throughout. Each request that ties it to another lease is conditional on the
//! mod revision, so that one that is carried out late changes nothing.

use super::entries::{Extension, OwnLease};
use super::error::{ENTRY_DELETED, Failure, Verdict};
use super::keep_alive::keep_alive;
use super::names;
use super::own_lease;
use super::queue;
use super::shared::Shared;
use crate::contract::{Entry, Uncovered};
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;
use std::time::Duration;

/// How often a request is repeated because an earlier one of ours turns out to have been carried out.
const ROUNDS: usize = 4;

pub(super) async fn extend(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    let Some(created) = shared.created(entry) else { return Err(Error::lost(ENTRY_DELETED)) };
    let until = shared.client.world.now() + least;
    shared.entries.update(entry, |state| {
        state.extension.get_or_insert_with(|| Extension::new(created));
    });
    if least > shared.ttl {
        tie_to_own_lease(shared, entry, until, least).await?;
    } else {
        if shared.renewed_until() < until {
            keep_alive(shared).await?;
        }
        tie(shared, entry, None, until).await?;
    }
    let extend = |extension: &mut Extension| extension.until = extension.until.max(until);
    let extended = shared.entries.unless_leaving(entry.number, |state| state.extension.as_mut().map(extend));
    extended.flatten().ok_or_else(|| Error::lost(ENTRY_DELETED))
}

async fn tie_to_own_lease(shared: &Shared, entry: &Entry, until: Moment, least: Duration) -> Result<(), Error> {
    let has_one = |extension: &Extension| extension.tied_to().is_some_and(|own| own.ends >= until);
    for _ in 0..2 {
        // An earlier call may have arranged it without an answer.
        if shared.entries.get(entry.number, |state| state.extension.as_ref().is_some_and(has_one)).unwrap_or(false) {
            return Ok(());
        }
        let own = own_lease::grant(shared, least).await?;
        match tie(shared, entry, Some(own), until).await {
            // The first of several attempts granted the lease, and it expired before the last, or nearly so.
            Err(failure) if failure.verdict == Verdict::LeaseGone => {
                shared.entries.get(entry.number, |state| {
                    let extension = state.extension.iter_mut();
                    extension.for_each(|extension| extension.own.retain(|known| known.id != own.id));
                });
            }
            Err(failure) => {
                if shared.entries.is_leaving(entry.number) {
                    own_lease::revoke(shared, own);
                }
                return Err(failure.into());
            }
            Ok(()) => return Ok(()),
        }
    }
    Err(Error::lost("the lease for `hold_at_least` expired before the entry was tied to it"))
}

/// Ties the key to `own`, or to the session's lease, unless the entry is leaving or something else lets it last until
/// `then` already. `Lost` if the key is gone.
async fn tie(shared: &Shared, entry: &Entry, own: Option<OwnLease>, then: Moment) -> Result<(), Failure> {
    let lease = own.map_or(shared.lease(), |own| own.id);
    for _ in 0..ROUNDS {
        let next = shared.entries.unless_leaving(entry.number, |state| {
            if state.is_detaching {
                return None;
            }
            let (extension, created) = (state.extension.as_mut()?, state.created?);
            let is_enough = own.is_none() || extension.tied_to().is_some() || shared.renewed_until() >= then;
            if is_enough && extension.is_certain && extension.lasts_until(then) {
                return Some(Ok(None));
            }
            if let Some(own) = own.filter(|own| !extension.own.contains(own)) {
                if own.ends < shared.renewed_until() {
                    return Some(Err(too_late()));
                }
                // Before it is sent: from now on it may be tied to this lease as well as to the last one.
                extension.own.push(own);
            }
            extension.is_certain = false;
            Some(Ok(Some((extension.modified, created))))
        });
        let Some((since, created)) = next.flatten().ok_or_else(gone)?? else { return Ok(()) };
        let keys = shared.keys(entry);
        let unchanged = |key: &str| Compare::mod_revision(key, CompareOp::Equal, since);
        let tied = shared.transaction(entry, &queue::tie(&keys, unchanged, &names::content(entry), lease)).await?;
        let (since, now_on) = if tied.succeeded() {
            (queue::revision(tied.header()), lease)
        } else if let Some(read) = queue::key_read(&tied, keys.len(), created) {
            // An earlier request was carried out after all. The lease was read with the record: in keys alone, etcd 3.7
            // shows none.
            (read.modified, read.lease)
        } else {
            shared.entries.get(entry.number, |state| state.is_gone = true);
            return Err(gone());
        };
        shared.entries.get(entry.number, |state| {
            let extension = state.extension.iter_mut();
            extension.for_each(|extension| extension.note_tied(since, now_on, shared.lease()));
        });
        if now_on == lease {
            return Ok(());
        }
    }
    let error = Error::unavailable("another program puts the entry into the store again and again");
    Err(Failure { verdict: Verdict::AnotherMember, error })
}

/// The session was renewed beyond the end of the lease while that was granted, and has promised more by that.
fn too_late() -> Failure {
    let error = Error::unavailable("etcd granted the lease for `hold_at_least` so late that the session lasts longer");
    Failure { verdict: Verdict::LeaseGone, error }
}

fn gone() -> Failure {
    Failure { verdict: Verdict::Unsupported, error: Error::lost(ENTRY_DELETED) }
}

/// The extended entries that are not known to last until `then`, when the session's lease ends.
pub(super) fn due(shared: &Shared, then: Moment) -> Vec<Arc<Entry>> {
    shared.entries.collect(|entry, state, leaving| {
        let is_theirs = leaving || state.is_gone || state.is_detaching;
        let is_due = |extension: &&mut Extension| !is_theirs && !extension.lasts_until(then);
        let extension = state.extension.as_mut().filter(is_due)?;
        (!std::mem::replace(&mut extension.is_returning, true)).then(|| Arc::clone(entry))
    })
}

/// Makes the entry last until `then`: ties it to the session's lease again, or if that does not work renews its own.
pub(super) async fn secure(shared: &Shared, entry: &Entry, then: Moment) {
    if let Err(failure) = tie(shared, entry, None, then).await {
        tracing::debug!(target: TARGET, error = %failure.error.chain(), "an extended entry stays on a lease of its own for now");
        shared.entries.get(entry.number, |state| {
            let why: Arc<str> = failure.error.chain().to_string().into();
            state.extension.iter_mut().for_each(|extension| extension.failure = Some(Arc::clone(&why)));
        });
        renew_own(shared, entry, then).await;
    }
    shared.entries.get(entry.number, |state| {
        if let Some(extension) = &mut state.extension {
            extension.is_returning = false;
        }
    });
}

/// Renews the leases to which the key may be tied and that end before `then`.
async fn renew_own(shared: &Shared, entry: &Entry, then: Moment) {
    let ending =
        |extension: &Extension| extension.own.iter().filter(|own| own.ends < then).copied().collect::<Vec<_>>();
    let ending = shared.entries.unless_leaving(entry.number, |state| {
        state.extension.as_ref().filter(|_| !state.is_gone).map(ending).unwrap_or_default()
    });
    for own in ending.unwrap_or_default() {
        match own_lease::renew(shared, own).await {
            Ok(ends) => drop(shared.entries.get(entry.number, |state| {
                let known = state.extension.iter_mut().flat_map(|extension| &mut extension.own);
                known.filter(|known| known.id == own.id).for_each(|known| known.ends = ends);
            })),
            Err(failure) => {
                tracing::debug!(target: TARGET, error = %failure.error.chain(), "the lease of an extended entry was not renewed");
            }
        }
    }
}

/// The entries that are not known to last until `then` although the session's lease does.
pub(super) fn uncovered(shared: &Shared, then: Moment) -> Vec<Uncovered> {
    shared.entries.collect(|entry, state, leaving| {
        let lasts = state.extension.as_ref().is_none_or(|extension| extension.lasts_until(then));
        let cause = if state.is_gone {
            Error::lost(ENTRY_DELETED)
        } else if !lasts {
            let why = state.extension.as_ref().and_then(|extension| extension.failure.as_deref());
            Error::unavailable(why.unwrap_or("its lease ends, and etcd has not yet let the session's take its place"))
        } else {
            return None;
        };
        (!leaving).then(|| Uncovered::new(entry.number, cause))
    })
}
