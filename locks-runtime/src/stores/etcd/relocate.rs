//! Another lease for a session whose lease the user may not renew: a right was revoked for one of its keys.
//!
//! Each key is tied to the new lease by itself, as entries are that return from a lease of their own (`extend`). Those that
//! the user may not write stay on the old lease, which nobody renews, and end with it.

use super::entries::{EntryState, Extension, OwnLease};
use super::lease::{self, Granted};
use super::shared::Shared;
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::clock::Moment;

/// Grants the new lease; returns when that was sent.
pub(super) async fn relocate(shared: &Shared, why: &Error) -> Result<Moment, Error> {
    let Granted { id, sent, .. } = lease::grant_new(&shared.client, shared.ttl).await?;
    tracing::warn!(
        target: TARGET,
        error = %why.chain(),
        "etcd refuses to renew a lease because of one of its keys: each key is moved to another lease by itself"
    );
    let old = OwnLease { id: shared.lease(), ttl: shared.ttl, ends: shared.renewed_until() };
    shared.refused.lock().push(old);
    shared.keep_alive.lock().take();
    // First of all: what is put from now on is on the new one, and what is noted from now on is compared with it.
    shared.set_lease(id);
    shared.renewed.advance(sent);
    shared.entries.collect(|_, state, _| state.created.map(|created| leave_on(state, created, old)));
    Ok(sent)
}

/// An entry was put on a lease that the session does not have any more.
pub(super) fn note_lease(shared: &Shared, state: &mut EntryState) {
    let Some((first, created)) = state.lease.zip(state.created).filter(|(first, _)| *first != shared.lease()) else {
        return;
    };
    if let Some(old) = shared.refused.lock().iter().find(|old| old.id == first) {
        leave_on(state, created, *old);
    }
}

/// The entry is tied to `old`, unless it is to a lease of its own.
fn leave_on(state: &mut EntryState, created: i64, old: OwnLease) {
    let extension = state.extension.get_or_insert_with(|| Extension::new(created));
    if extension.own.is_empty() || !extension.is_certain {
        extension.own.push(old);
    }
}
