//! Noticing that an entry is gone although it has not left.

use super::entries::{self, Status};
use super::error;
use super::follow;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

pub(super) async fn removed(shared: Arc<Shared>, entry: &Entry) -> Result<Infallible, Error> {
    let (name, identity) = (shared.name(entry), shared.identity(entry));
    let known = shared.entries.get(entry.number, |state| (state.subscribe(), state.lease.clone()));
    let Some((mut status, Some(known))) = known else { return pending().await };
    let mut following = follow::follow(&shared.client, &name, Some(&known));
    let entries = Arc::clone(&shared.entries);
    // This future must not keep the session alive: one that is not renewed any more has to end.
    drop(shared);
    loop {
        let noted = *status.borrow_and_update();
        match noted {
            Status::Gone => return Err(Error::lost(error::ENTRY_GONE)),
            Status::Held(_) => {}
            // It leaves, or stays for a while without its session.
            _ => return pending().await,
        }
        let state = following.borrow_and_update().clone();
        let is_gone = state.is_known
            && match &state.lease {
                Some(lease) => lease.uid != known.uid || !lease.is_held_by(&identity) || lease.version < known.version,
                None => true,
            };
        if is_gone {
            entries::note(&entries, entry.number, Status::Gone);
            continue;
        }
        tokio::select! {
            biased;
            changed = status.changed() => if changed.is_err() {
                return pending().await;
            },
            changed = following.changed() => if changed.is_err() {
                return pending().await;
            },
        }
    }
}
