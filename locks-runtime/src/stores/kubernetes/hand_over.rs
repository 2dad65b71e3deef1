//! Handing a hold over: the Lease gets a holder of the ticket's, which nobody renews, and then whoever adopts it.

use super::client::{Changed, Client};
use super::entries::{self, Status};
use super::error::{self, Failed};
use super::lease::{self, Lease};
use super::names;
use super::patch::{Claim, LARGEST, Patch, noted};
use super::renew;
use super::shared::{Shared, record};
use super::take::{self, Rounds};
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::{Error, ErrorKind};
use crate::values::secret::Secret;
use ring::digest;
use std::sync::Arc;

/// The same for all clients that see the same locks, as far as that can be known without a request.
fn site(client: &Client) -> String {
    format!("kubernetes:{}", client.config.namespace)
}

/// The holder that the Lease has on its way: whoever may read it does not know the secret by that.
fn on_its_way(secret: &Secret<Arc<str>>) -> String {
    let hash = digest::digest(&digest::SHA256, secret.reveal().as_bytes());
    format!("detached_{}", names::base32(&hash.as_ref()[..20]))
}

/// From before the request on, no renewal keeps it.
pub(super) async fn detach(shared: &Shared, entry: &Entry, detaching: &Detaching) -> Result<Detached, Error> {
    if detaching.ttl.as_secs() >= LARGEST {
        return Err(Error::new(ErrorKind::InvalidOption, format!("a Lease lasts for {LARGEST} seconds at most")));
    }
    let gone = || Error::lost(error::ENTRY_GONE);
    let note = |state: &mut entries::EntryState| {
        let lease = state.lease.clone().filter(|_| matches!(state.status(), Status::Held(_) | Status::Lapsing));
        state.note(Status::Lapsing);
        state.extended_until = Some(shared.client.world.now() + detaching.ttl);
        lease
    };
    let known = shared.entries.get(entry.number, note).flatten().ok_or_else(gone)?;
    let (mut known, identity, ticket) = (Lease::clone(&known), shared.identity(entry), on_its_way(&detaching.secret));
    let record = String::from_utf8(detaching.holder.to_json()).unwrap_or_default();
    let detached = Detached::new(detaching.secret.clone(), site(&shared.client));
    let mut rounds = Rounds::of(&shared.client);
    loop {
        let claim = Claim {
            identity: &ticket,
            record: &record,
            duration: detaching.ttl,
            now_ms: shared.client.world.wall_ms(),
        };
        let annotations = [
            (lease::HOLDER, Some(noted(&ticket, &record))),
            (lease::FENCE, Some(noted(&ticket, &known.fence().to_string()))),
        ];
        let patch = Patch::while_held(&known, &identity).claim(&known, &claim).annotate(&known, &annotations);
        if let Changed::Done(_) = shared.patch(&known, patch).await? {
            shared.entries.left(entry.number);
            return Ok(detached);
        }
        // The answer to an earlier request may have been lost.
        let now =
            shared.client.get(&known.name).await?.lease.filter(|lease| lease.uid == known.uid).ok_or_else(gone)?;
        if now.is_held_by(&ticket) {
            shared.entries.left(entry.number);
            return Ok(detached);
        }
        if !now.is_held_by(&identity) {
            return Err(gone());
        }
        known = now;
        rounds.next().await?;
    }
}

pub(super) async fn adopt(shared: &Shared, entry: &Arc<Entry>, detached: &Detached) -> Result<Option<Grant>, Error> {
    shared.check()?;
    detached.check_site(&site(&shared.client))?;
    shared.entries.sent(entry);
    let adopted = attempt(shared, entry, &on_its_way(&detached.secret)).await;
    if adopted.as_ref().err().is_none_or(|failed| !failed.is_unresolved) {
        shared.entries.resolved(entry.number);
    }
    match adopted {
        Ok(Some(grant)) => Ok(Some(grant)),
        Ok(None) => {
            shared.entries.left(entry.number);
            Ok(None)
        }
        Err(failed) => Err(failed.error),
    }
}

async fn attempt(shared: &Shared, entry: &Arc<Entry>, ticket: &str) -> Result<Option<Grant>, Failed> {
    let (name, identity, record) = (shared.name(entry), shared.identity(entry), record(entry));
    let mut rounds = Rounds::of(&shared.client);
    loop {
        let Some(lease) = shared.client.get(&name).await?.lease else { return Ok(None) };
        names::check(&lease, &entry.key)?;
        if lease.is_held_by(&identity) {
            // The answer to an earlier request was lost.
            renew::confirm(shared, entry, &lease).await?;
            return Ok(renew::settled(shared, entry).await?);
        }
        if !lease.is_held_by(ticket) {
            return Ok(None);
        }
        let sent = shared.client.world.now();
        let patch = take::take(&lease, entry.key.as_str(), &shared.claim(&identity, &record))?;
        if let Changed::Done(lease) = shared.patch(&lease, patch).await? {
            shared.note_held(entry, lease, sent)?;
            return Ok(renew::settled(shared, entry).await?);
        }
        rounds.next().await?;
    }
}
