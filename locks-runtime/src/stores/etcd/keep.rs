//! Entries that stay for a while even if this process ends.
//!
//! Such an entry hangs on a lease of its own that nobody renews. If the hold lasts longer than that, the entry is put
//! back on the session's lease before its own one ends; if it is given back sooner, it stays on its own lease (or on
//! another one for what is left) and lapses with that. The key's create revision stays the same throughout, and each
//! step is conditional on the last one, so that a request that comes through late changes nothing.

use super::lease;
use super::line::{self, Place};
use super::session::Shared;
use super::status::{Failure, Verdict};
use super::turn::DELETED;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::world::clock::{Clock, Moment};
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;
use std::time::Duration;

/// What is known of an entry that is to outlive its process.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    entry: Arc<Entry>,
    until: Moment,
    lease: i64,
    seat: Seat,
}

/// The lease that the key hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// Its own, since this revision.
    Own(i64),
    /// The session's.
    Session,
    /// One or the other.
    Unsure(Option<i64>),
}

pub(super) async fn keep(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    let Some(created) = shared.known(entry, |slot| slot.created) else { return Err(Error::lost(DELETED)) };
    for _ in 0..2 {
        match keep_on_own_lease(shared, entry, created, least).await {
            // Granted at the first of several attempts, and over before the last.
            Err(failure) if failure.verdict == Verdict::Forgotten => shared.slot(entry, |slot| slot.kept = None),
            other => return Ok(other?),
        }
    }
    Err(Error::lost("the lease that keeps the entry ended before the entry hung on it"))
}

async fn keep_on_own_lease(shared: &Shared, entry: &Arc<Entry>, created: i64, least: Duration) -> Result<(), Failure> {
    let new = Kept {
        entry: entry.clone(),
        until: Clock::Boot.now() + least,
        lease: lease::new_id(),
        seat: Seat::Unsure(None),
    };
    let kept = shared.slot(entry, |slot| slot.kept.get_or_insert(new).clone());
    lease::grant(&shared.cluster, kept.lease, least).await?;
    let key = shared.key(entry);
    let untouched = Compare::mod_revision(key.clone(), CompareOp::Equal, created);
    let since = reput(shared, entry, untouched, kept.lease).await?;
    match since {
        Some(since) => shared.slot(entry, |slot| set_seat(slot, Seat::Own(since))),
        None => return Err(Failure { verdict: Verdict::Hopeless, error: Error::lost(DELETED) }),
    }
    Ok(())
}

/// Those whose own lease would end before the session's, now that the session was renewed at `sent`.
pub(super) fn due(shared: &Shared, sent: Moment) -> Vec<Arc<Entry>> {
    let slots = super::cluster::lock(&shared.slots);
    let kept = slots.values().filter(|slot| !slot.leaving).filter_map(|slot| slot.kept.as_ref());
    kept.filter(|kept| kept.seat != Seat::Session && kept.until <= sent + shared.ttl)
        .map(|kept| kept.entry.clone())
        .collect()
}

/// Puts the entry back on the session's lease. If nobody answers, the next renewal tries again.
pub(super) async fn renew_again(shared: &Shared, entry: &Arc<Entry>) {
    let since = shared.known(entry, |slot| {
        if slot.leaving {
            return None;
        }
        let kept = slot.kept.as_mut()?;
        let (Seat::Own(since) | Seat::Unsure(Some(since))) = kept.seat else { return None };
        // Before it is sent: whoever leaves from now on must not count on the own lease.
        kept.seat = Seat::Unsure(Some(since));
        Some(since)
    });
    let Some(since) = since else { return };
    let unchanged = Compare::mod_revision(shared.key(entry), CompareOp::Equal, since);
    match reput(shared, entry, unchanged, shared.lease).await {
        Ok(Some(_)) => {
            shared.known(entry, |slot| {
                set_seat(slot, Seat::Session);
                Some(())
            });
        }
        Ok(None) => {}
        Err(failure) => tracing::debug!(error = %failure.error, "a kept entry could not be moved; trying again"),
    }
}

/// Whether a kept entry's time is not over yet. It then hangs on a lease that nobody renews.
pub(super) async fn outlives(shared: &Shared, entry: &Entry) -> Result<bool, Failure> {
    let Some((kept, created)) = shared.known(entry, |slot| Some((slot.kept.clone()?, slot.created?))) else {
        return Ok(false);
    };
    let rest = kept.until.since(Clock::Boot.now());
    if rest.is_zero() {
        return Ok(false);
    }
    if matches!(kept.seat, Seat::Own(_)) {
        return Ok(true);
    }
    let lease = lease::new_id();
    lease::grant(&shared.cluster, lease, rest).await?;
    // Whatever lease it hangs on: nothing can come after this but a late request, which fails.
    match reput(shared, entry, shared.is_mine(entry, created), lease).await {
        // The new lease is over before the entry hung on it, and so is nearly all of the time.
        Err(failure) if failure.verdict == Verdict::Forgotten => Ok(false),
        other => other.map(|_| true),
    }
}

/// As [`outlives`], for everything that is kept and still held when the session ends.
pub(super) async fn outlive_all(shared: &Shared) -> Result<(), Failure> {
    let kept: Vec<Arc<Entry>> = {
        let slots = super::cluster::lock(&shared.slots);
        slots.values().filter_map(|slot| Some(slot.kept.as_ref()?.entry.clone())).collect()
    };
    for entry in kept {
        outlives(shared, &entry).await?;
    }
    Ok(())
}

/// Hangs the key on `lease` under a condition; gives the revision since when it does, or `None` if it does not.
async fn reput(shared: &Shared, entry: &Entry, condition: Compare, lease: i64) -> Result<Option<i64>, Failure> {
    let key = shared.key(entry);
    let answer = shared.txn(entry, &line::reput(condition, &key, entry.holder.to_json(), lease)).await?;
    if answer.succeeded() {
        return Ok(Some(line::revision(&answer)));
    }
    // An earlier attempt of ours may have come through without its answer.
    Ok(line::looked_at(&answer).filter(|place| place.lease == lease).map(|Place { modified, .. }| modified))
}

fn set_seat(slot: &mut super::session::Slot, seat: Seat) {
    if let Some(kept) = &mut slot.kept {
        kept.seat = seat;
    }
}
