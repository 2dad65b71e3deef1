//! Changes of who holds a Lease: taken, given to the first of its line, given back, left.

use super::client::{Changed, Client, Over};
use super::error::{Failed, contended};
use super::lease::{self, Lease};
use super::line;
use super::patch::{Claim, Patch, noted};
use crate::contract::Backoff;
use crate::values::error::{Error, ErrorKind};
use crate::world::World;
use crate::world::clock::Moment;
use std::time::Duration;

/// For how long the first of the line has the lock that was given to it before it has said that it is alive.
pub(super) const CLAIM: Duration = Duration::from_secs(3);

/// A change that others got ahead of is tried again, for as long as somebody may wait for an answer.
pub(super) struct Rounds<'a> {
    world: &'a World,
    pauses: Backoff,
    until: Moment,
}

impl<'a> Rounds<'a> {
    pub(super) fn of(client: &'a Client) -> Self {
        let world = &client.world;
        let pauses = Backoff::new(world, Duration::from_millis(4), Duration::from_millis(64));
        Self { world, pauses, until: world.now() + client.config.connect_timeout * 3 / 4 }
    }

    /// Waits until it is time for the next one. `Unavailable` if there were enough.
    pub(super) async fn next(&mut self) -> Result<(), Error> {
        if self.world.now() >= self.until {
            return Err(contended());
        }
        self.pauses.wait().await;
        Ok(())
    }
}

/// The Lease goes to `claim`, who may be in its line: those ahead of it are passed over.
pub(super) fn take(lease: &Lease, key: &str, claim: &Claim<'_>) -> Result<Patch, Error> {
    let rest = lease.place(claim.identity).map_or(0, |place| place + 1);
    let mut annotations = vec![
        (lease::KEY, Some(key.to_owned())),
        (lease::HOLDER, Some(noted(claim.identity, claim.record))),
        (lease::FENCE, None),
    ];
    if !lease.line.is_empty() {
        annotations.push((lease::LINE, Some(line::written(&lease.line[rest..])?)));
    }
    Ok(Patch::unless_changed(lease).claim(lease, claim).annotate(lease, &annotations))
}

/// The Lease goes to the first of its line, for a short while; with nobody in it, to nobody.
pub(super) fn pass_on(lease: &Lease, now_ms: u64) -> Result<Patch, Error> {
    let patch = Patch::unless_changed(lease);
    let Some((first, rest)) = lease.line.split_first() else {
        let patch = patch.free(lease, now_ms);
        let is_noted = lease.is_ours() || lease.is_fence_noted();
        return Ok(if is_noted {
            patch.annotate(lease, &[(lease::HOLDER, None), (lease::FENCE, None)])
        } else {
            patch
        });
    };
    let claim = Claim { identity: &first.identity, record: &first.record, duration: CLAIM, now_ms };
    let annotations = [
        (lease::HOLDER, Some(noted(&first.identity, &first.record))),
        (lease::FENCE, None),
        (lease::LINE, Some(line::written(rest)?)),
    ];
    Ok(patch.claim(lease, &claim).annotate(lease, &annotations))
}

/// Another line, with a note of the fence of whoever holds it: from this write on the version is another.
pub(super) fn with_line<'a, I: IntoIterator<Item = &'a line::Waiting>>(
    lease: &Lease,
    key: &str,
    line: I,
) -> Result<Patch, Error> {
    let mut annotations = vec![(lease::KEY, Some(key.to_owned())), (lease::LINE, Some(line::written(line)?))];
    annotations.extend(fence_note(lease));
    Ok(Patch::unless_changed(lease).annotate(lease, &annotations))
}

/// The note of the holder's fence, if there is none and the holder is one of ours.
pub(super) fn fence_note(lease: &Lease) -> Option<(&'static str, Option<String>)> {
    let holder = lease.holder.as_deref().filter(|_| lease.is_ours() && !lease.is_fence_noted())?;
    Some((lease::FENCE, Some(noted(holder, &lease.fence().to_string()))))
}

/// Takes an entry out of a Lease, wherever it is in it. `known` is the Lease as it was read last, if the entry held it then.
pub(super) async fn withdraw(
    client: &Client,
    name: &str,
    identity: &str,
    known: Option<Lease>,
    stays: bool,
) -> Result<(), Failed> {
    let mut known = known.filter(|lease| lease.is_held_by(identity));
    let mut rounds = Rounds::of(client);
    loop {
        let lease = match known.take() {
            Some(lease) => lease,
            None => match client.get(name).await?.lease {
                Some(lease) => lease,
                None => return Ok(()),
            },
        };
        if lease.is_held_by(identity) {
            if release(client, &lease, stays).await? {
                return Ok(());
            }
        } else if lease.place(identity).is_some() {
            let key = lease.key.clone().unwrap_or_else(|| lease.name.clone());
            let rest = lease.line.iter().filter(|waiting| waiting.identity != identity);
            let patch = with_line(&lease, &key, rest)?;
            match client.patch(Over::Requests, name, patch, client.config.request_timeout()).await? {
                Changed::Done(_) | Changed::Gone => return Ok(()),
                Changed::Refused(_) => {}
            }
        } else {
            return Ok(());
        }
        rounds.next().await?;
    }
}

/// Gives the Lease back if it is still as it was read: to the first of its line; deleted, if we made it and nobody needs it; or free.
/// Returns whether that was done.
pub(super) async fn release(client: &Client, lease: &Lease, stays: bool) -> Result<bool, Failed> {
    if lease.is_made && lease.line.is_empty() && lease.done.is_none() && !stays {
        match client.delete(lease).await {
            Ok(is_gone) => {
                if is_gone {
                    client.remembered.forget(&lease.name);
                }
                return Ok(is_gone);
            }
            // Without the right to delete it, it stays, and is free.
            Err(failed) if failed.error.kind() == ErrorKind::Unauthorized => {}
            Err(failed) => return Err(failed),
        }
    }
    let patch = pass_on(lease, client.world.wall_ms())?;
    Ok(match client.patch(Over::Requests, &lease.name, patch, client.config.request_timeout()).await? {
        Changed::Done(changed) => {
            let is_free = changed.holder.is_none() && changed.line.is_empty();
            client.remembered.note_there(&lease.name, is_free.then_some(changed));
            true
        }
        Changed::Gone => true,
        Changed::Refused(_) => false,
    })
}
