//! Renewing what a session holds: one small change for each Lease, conditional on its holder alone.

use super::client::{Changed, Over};
use super::entries::{self, Status};
use super::error::{self, Failed, WENT_BACK, contended};
use super::lease::{self, Lease};
use super::patch::{Patch, noted};
use super::shared::{Shared, record};
use super::take::{self, fence_note};
use super::together;
use crate::contract::{Entry, Grant, Renewal, Uncovered};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// From so many renewals in a second on an API server is busy with them: one core of the control plane does about 650.
const MANY_PER_SECOND: f64 = 100.0;

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<Renewal, Error> {
    shared.check()?;
    let sent = shared.client.world.now();
    // First: what holds since before this, and is not renewed below, sees it.
    shared.renewal_begun.advance(sent);
    let held = entries::held(&shared.entries);
    warn_of_many(held.len(), shared.ttl);
    let limit = shared.renewal_limit();
    let renewals = held.iter().map(|(entry, lease)| renew_one(shared, entry, lease, limit));
    let results = together::all(renewals).await;
    if held.is_empty() {
        ask_for_a_waiter(shared).await?;
    }
    let none_renewed = !results.iter().any(Result::is_ok);
    let mut uncovered = Vec::new();
    for ((entry, _), result) in held.iter().zip(results) {
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Lost => return Err(error),
            Err(error) if none_renewed => return Err(error),
            Err(error) => uncovered.push(Uncovered::new(entry.number, error)),
        }
    }
    shared.renewed(sent);
    tidy(shared);
    Ok(Renewal::partial(uncovered))
}

/// Renews one hold, or notes that it is gone. `Lost` is the end of the session.
pub(super) async fn renew_one(
    shared: &Shared,
    entry: &Arc<Entry>,
    known: &Arc<Lease>,
    limit: Duration,
) -> Result<(), Error> {
    let (identity, client) = (shared.identity(entry), &shared.client);
    let mut known = Lease::clone(known);
    for _ in 0..2 {
        let sent = client.world.now();
        let mut patch = Patch::while_held(&known, &identity).renew(
            &known,
            lasts(shared, entry),
            shared.next_renewal(entry, &known),
        );
        if known.is_annotated
            && let Some(note) = fence_note(&known)
        {
            patch = patch.annotate(&known, &[note]);
        }
        match client.patch(Over::Renewals, &known.name, patch, limit).await.map_err(Error::from)? {
            // A write is newer than whatever was read before it.
            Changed::Done(lease) if lease.version <= known.version => return Err(Error::lost(WENT_BACK)),
            Changed::Done(lease) => {
                shared.entries.get(entry.number, |state| {
                    state.covered = state.covered.max(sent);
                    state.read(lease);
                });
                return Ok(());
            }
            Changed::Gone => break,
            Changed::Refused(message) => match client.get(&known.name).await?.lease {
                Some(lease) if lease.uid == known.uid && lease.is_held_by(&identity) => {
                    if lease.version < known.version {
                        return Err(Error::lost(WENT_BACK));
                    }
                    tracing::debug!(target: TARGET, name = known.name, message, "a renewal was refused");
                    known = lease;
                }
                _ => break,
            },
        }
    }
    let is_gone = match client.get(&known.name).await?.lease {
        Some(lease) => lease.uid != known.uid || !lease.is_held_by(&identity),
        None => true,
    };
    if !is_gone {
        return Err(contended());
    }
    entries::note(&shared.entries, entry.number, Status::Gone);
    Ok(())
}

/// For how long the entry is to last from now on: a TTL, or for what is left of the time that it is extended by.
fn lasts(shared: &Shared, entry: &Entry) -> Duration {
    let until = shared.entries.get(entry.number, |state| state.extended_until).flatten();
    until.map_or(shared.ttl, |until| until.since(shared.client.world.now()).max(shared.ttl))
}

/// The entry is found to hold: the lock was given to it for a short while, or an answer was lost. It has said that it is alive when
/// this returns, and lasts for a TTL.
pub(super) async fn confirm(shared: &Shared, entry: &Arc<Entry>, found: &Lease) -> Result<(), Failed> {
    let (identity, client) = (shared.identity(entry), &shared.client);
    let sent = client.world.now();
    let patch =
        Patch::while_held(found, &identity).renew(found, lasts(shared, entry), shared.next_renewal(entry, found));
    let annotations = [
        (lease::HOLDER, Some(noted(&identity, &record(entry)))),
        (lease::FENCE, Some(noted(&identity, &found.fence().to_string()))),
    ];
    match shared.patch(found, patch.annotate(found, &annotations)).await? {
        Changed::Done(lease) => {
            shared.note_held(entry, lease, sent)?;
            Ok(())
        }
        // It came too late, or was released by force.
        Changed::Refused(_) | Changed::Gone => Err(Error::unavailable(error::ENTRY_GONE).into()),
    }
}

/// What the entry has with its hold, once it lasts for as long as the session does; `None` if it is gone by then.
///
/// A renewal that began after the entry's own request, and before it was known to hold, has moved the session's deadline, and not what
/// the store knows of this entry.
pub(super) async fn settled(shared: &Shared, entry: &Arc<Entry>) -> Result<Option<Grant>, Error> {
    loop {
        let known = shared.entries.get(entry.number, |state| (state.status(), state.covered, state.lease.clone()));
        let Some((Status::Held(fence), covered, Some(lease))) = known else { return Ok(None) };
        if shared.renewal_begun.load() <= covered {
            return Ok(Some(Grant::new(fence)));
        }
        renew_one(shared, entry, &lease, shared.renewal_limit()).await?;
    }
}

/// With nothing to renew, whether the store answers is asked for those who wait.
async fn ask_for_a_waiter(shared: &Shared) -> Result<(), Error> {
    let queued =
        shared.entries.collect(|entry, state, _| (state.status() == Status::Queued).then(|| shared.name(entry)));
    match queued.first() {
        Some(name) => shared.client.get(name).await.map(drop),
        None => Ok(()),
    }
}

/// Withdraws what has no owner any more, and what was to stay for a while, in the background.
fn tidy(shared: &Arc<Shared>) {
    let now = shared.client.world.now();
    let lapsed = shared.entries.collect(|entry, state, _| {
        let is_over = state.status() == Status::Lapsing && state.extended_until.is_none_or(|until| until <= now);
        is_over.then(|| Arc::clone(entry))
    });
    let orphans = shared.entries.renewed().entries;
    if lapsed.is_empty() && orphans.is_empty() {
        return;
    }
    let shared = Arc::clone(shared);
    shared.client.world.clone().spawn(async move {
        let all = lapsed.into_iter().map(|entry| (entry, true)).chain(orphans.into_iter().map(|entry| (entry, false)));
        let shared = &shared;
        together::all(all.map(|(entry, has_lapsed)| async move {
            let (name, identity) = (shared.name(&entry), shared.identity(&entry));
            let withdrawn = take::withdraw(&shared.client, &name, &identity, None, false).await;
            if withdrawn.is_ok() && has_lapsed {
                shared.entries.left(entry.number);
            }
        }))
        .await;
    });
}

fn warn_of_many(held: usize, ttl: Duration) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    #[expect(clippy::cast_precision_loss, reason = "it is for people")]
    let rate = held as f64 / (ttl.as_secs_f64() / 3.0);
    if rate > MANY_PER_SECOND && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: TARGET,
            held,
            "{rate:.0} renewals a second keep the API server busy, which has one for each lock; use a longer TTL, fewer locks, or another store"
        );
    }
}
