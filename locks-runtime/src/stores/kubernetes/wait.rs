//! Waiting for one's turn: the Lease is followed, and whoever is the first of its line takes it when nobody holds it any more.

use super::client::Changed;
use super::enter::invalid;
use super::entries::Status;
use super::error::{self, Failed};
use super::follow;
use super::followed::State;
use super::lease::Lease;
use super::names;
use super::overtaken::Overtaken;
use super::renew;
use super::shared::{Shared, record};
use super::take;
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
    /// Those ahead do not move: the first of them gets it for a short while, in which it moves or is passed over.
    PassOn,
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
    let mut overtaken = Overtaken::default();
    loop {
        shared.check()?;
        let noted = *status.borrow_and_update();
        match noted {
            Status::Held(_) => return settled(shared, entry).await,
            Status::Gone => return Err(Error::lost(error::ENTRY_GONE)),
            Status::Leaving | Status::Lapsing => return Err(Error::lost(error::WITHDRAWN)),
            Status::Requested | Status::Queued => {}
        }
        let state = following.borrow_and_update().clone();
        let until = match step(shared, entry, &state, &mut overtaken).await? {
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
            biased;
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

async fn settled(shared: &Shared, entry: &Arc<Entry>) -> Result<Grant, Error> {
    renew::settled(shared, entry).await?.ok_or_else(|| Error::lost(error::ENTRY_GONE))
}

async fn step(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &State,
    overtaken: &mut Overtaken,
) -> Result<Step, Error> {
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
    overtaken.note(lease);
    match next(shared, &shared.identity(entry), lease, overtaken) {
        Next::Gone => Err(Error::lost(error::ENTRY_GONE)),
        Next::Wait(until) => Ok(Step::Wait(until)),
        Next::Confirm => match renew::confirm(shared, entry, lease).await {
            Ok(()) => settled(shared, entry).await.map(Step::Granted),
            Err(failed) => after(shared, lease, Err(failed)).await,
        },
        Next::Take => take(shared, entry, lease).await,
        Next::PassOn => {
            let patch = take::pass_on(lease, shared.client.world.wall_ms())?;
            after(shared, lease, shared.patch(lease, patch).await).await
        }
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
    if let Ok(Changed::Done(lease)) = taken {
        shared.note_held(entry, lease, sent)?;
        return settled(shared, entry).await.map(Step::Granted);
    }
    after(shared, lease, taken).await
}

/// What to do after a change of the Lease as it was seen: to look at it as it is now, if it was refused or not answered.
async fn after(shared: &Arc<Shared>, lease: &Lease, changed: Result<Changed, Failed>) -> Result<Step, Error> {
    let (failed, message) = match changed {
        Ok(Changed::Done(now)) => {
            shared.client.remembered.since(&now);
            shared.client.followed.note(&now);
            return Ok(Step::Again);
        }
        Ok(Changed::Gone) => return Err(Error::lost(error::ENTRY_GONE)),
        Ok(Changed::Refused(message)) => (None, message),
        Err(failed) if failed.error.kind() != ErrorKind::Unavailable => return Err(failed.error),
        Err(failed) => (Some(failed.error), String::new()),
    };
    match shared.client.get(&lease.name).await.map(|read| read.lease) {
        Ok(Some(now)) => {
            let is_same = now.version == lease.version;
            shared.client.remembered.since(&now);
            shared.client.followed.note(&now);
            match failed {
                Some(error) => Ok(Step::Failed(error)),
                None if is_same => Err(invalid(&message)),
                None => Ok(Step::Again),
            }
        }
        Ok(None) => Err(Error::lost(error::ENTRY_GONE)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(Step::Failed(failed.unwrap_or(error))),
        Err(error) => Err(error),
    }
}

/// Whoever is further back waits for those ahead of it, who may be dead. (It does not just take the Lease after a while: candidates of
/// other projects that poll would always be sooner.)
fn next(shared: &Shared, identity: &str, lease: &Lease, overtaken: &Overtaken) -> Next {
    if lease.is_held_by(identity) {
        return Next::Confirm;
    }
    let Some(place) = lease.place(identity) else { return Next::Gone };
    let remembered = &shared.client.remembered;
    let free = if lease.holder.is_none() { remembered.since(lease) } else { remembered.over_at(lease) };
    let due = free + overtaken.patience(place);
    match place {
        _ if shared.client.world.now() < due => Next::Wait(Some(due)),
        0 => Next::Take,
        _ => Next::PassOn,
    }
}
