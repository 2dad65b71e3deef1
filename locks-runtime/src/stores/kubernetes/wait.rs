//! Waiting for one's turn: the Lease is followed, and whoever is the first of its line takes it when nobody holds it any more.

use super::client::Changed;
use super::enter::invalid;
use super::entries::Status;
use super::error::{self};
use super::follow;
use super::followed::State;
use super::lease::Lease;
use super::names;
use super::renew;
use super::shared::{Shared, record};
use super::take::{self, CLAIM};
use crate::contract::{Backoff, Entry, Grant};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;

/// What to do about a Lease.
#[derive(Debug, PartialEq)]
enum Next {
    /// It is the entry's: to be confirmed.
    Confirm,
    Take,
    /// The entry is not in it any more.
    Gone,
    /// There is nothing to do before then, unless something changes.
    Wait(Option<Moment>),
}

/// How a step went.
enum Step {
    Granted(Grant),
    /// Look at the Lease again.
    Again,
    /// There was no answer.
    Failed(Error),
    Wait(Option<Moment>),
}

pub(super) async fn wait_turn(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Grant, Error> {
    shared.check()?;
    let (client, name) = (&shared.client, shared.name(entry));
    let known = shared.entries.get(entry.number, |state| (state.subscribe(), state.lease.clone()));
    let Some((mut status, known)) = known else { return Err(Error::lost(error::NOT_QUEUED)) };
    let mut following = follow::follow(client, &name, known.as_deref());
    let mut backoff = Backoff::new(&client.world, Duration::from_millis(20), Duration::from_secs(1));
    loop {
        shared.check()?;
        let noted = *status.borrow_and_update();
        match noted {
            Status::Held(_) => return renew::settled(shared, entry).await,
            Status::Gone => return Err(Error::lost(error::ENTRY_GONE)),
            Status::Leaving | Status::Lapsing => return Err(Error::lost(error::WITHDRAWN)),
            Status::Requested | Status::Queued => {}
        }
        let state = following.borrow_and_update().clone();
        let until = match step(shared, entry, &state).await? {
            Step::Granted(grant) => return Ok(grant),
            Step::Again => continue,
            Step::Failed(error) => {
                tracing::debug!(target: crate::values::target::TARGET, name, error = %error.chain(), "a Lease cannot be taken for now");
                Some(client.world.now() + backoff.pause())
            }
            Step::Wait(until) => until,
        };
        let left = until.map_or(Duration::MAX, |until| until.since(client.world.now()));
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                // It has left, or the session was closed.
                return Err(Error::lost(error::WITHDRAWN));
            },
            changed = following.changed() => if changed.is_err() {
                return Err(Error::unavailable("the Lease is not followed any more"));
            },
            () = tokio::time::sleep(left.min(Duration::from_secs(60))) => {}
        }
    }
}

async fn step(shared: &Arc<Shared>, entry: &Arc<Entry>, state: &State) -> Result<Step, Error> {
    if let Some(error) = state.error() {
        return Err(error);
    }
    if !state.is_known {
        return Ok(Step::Wait(None));
    }
    let Some(lease) = &state.lease else { return Err(Error::lost(error::ENTRY_GONE)) };
    if lease.is_coordinated {
        return Err(error::coordinated(&lease.name));
    }
    names::check(lease, &entry.key)?;
    match next(shared, &shared.identity(entry), lease) {
        Next::Gone => Err(Error::lost(error::ENTRY_GONE)),
        Next::Wait(until) => Ok(Step::Wait(until)),
        Next::Confirm => match renew::confirm(shared, entry, lease).await {
            Ok(()) => renew::settled(shared, entry).await.map(Step::Granted),
            Err(failed) => failure(shared, entry, failed.error).await,
        },
        Next::Take => take(shared, entry, lease).await,
    }
}

/// Looks before it counts as a failure: what was tried may have been done, or somebody else may have been faster.
async fn failure(shared: &Arc<Shared>, entry: &Arc<Entry>, failed: Error) -> Result<Step, Error> {
    if failed.kind() != ErrorKind::Unavailable {
        return Err(failed);
    }
    match shared.client.get(&shared.name(entry)).await {
        Ok(read) => match read.lease {
            Some(lease) => {
                shared.client.followed.note(&lease);
                Ok(Step::Failed(failed))
            }
            None => Err(Error::lost(error::ENTRY_GONE)),
        },
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(Step::Failed(failed)),
        Err(error) => Err(error),
    }
}

async fn take(shared: &Arc<Shared>, entry: &Arc<Entry>, lease: &Lease) -> Result<Step, Error> {
    let (identity, record, sent) = (shared.identity(entry), record(entry), shared.client.world.now());
    let patch = take::take(lease, entry.key.as_str(), &shared.claim(&identity, &record))?;
    shared.entries.sent(entry);
    let taken = shared.patch(lease, patch).await;
    if taken.as_ref().err().is_none_or(|failed| !failed.is_unresolved) {
        shared.entries.resolved(entry.number);
    }
    match taken {
        Ok(Changed::Done(lease)) => {
            shared.entries.update(entry, |state| state.held(lease, sent));
            renew::settled(shared, entry).await.map(Step::Granted)
        }
        Ok(Changed::Gone) => Err(Error::lost(error::ENTRY_GONE)),
        Ok(Changed::Refused(message)) => {
            let now = shared.client.get(&lease.name).await;
            match now.map(|read| read.lease) {
                Ok(Some(now)) if now.version == lease.version => Err(invalid(&message)),
                Ok(Some(now)) => {
                    shared.client.remembered.since(&now);
                    shared.client.followed.note(&now);
                    Ok(Step::Again)
                }
                Ok(None) => Err(Error::lost(error::ENTRY_GONE)),
                Err(error) if error.kind() == ErrorKind::Unavailable => Ok(Step::Failed(error)),
                Err(error) => Err(error),
            }
        }
        Err(failed) => failure(shared, entry, failed.error).await,
    }
}

/// Whoever is further back waits for those ahead of it, and passes over those who do not move.
fn next(shared: &Shared, identity: &str, lease: &Lease) -> Next {
    if lease.is_held_by(identity) {
        return Next::Confirm;
    }
    let Some(place) = lease.place(identity) else { return Next::Gone };
    let remembered = &shared.client.remembered;
    let free = if lease.holder.is_none() { remembered.since(lease) } else { remembered.over_at(lease) };
    let due = free + CLAIM * u32::try_from(place).unwrap_or(u32::MAX);
    if shared.client.world.now() >= due { Next::Take } else { Next::Wait(Some(due)) }
}
