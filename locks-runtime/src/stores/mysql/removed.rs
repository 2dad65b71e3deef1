//! Noticing that an entry is gone although it has not left: a renewal shows it, or what this client does itself. The server notifies
//! nobody.

use super::change::read;
use super::config::Layout;
use super::entries::Status;
use super::error::RELEASED_BY_FORCE;
use super::shared::Shared;
use super::view::Shown;
use crate::contract::Entry;
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;

pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    if let Some(mut known) = shared.entries.get(entry.number, |state| state.subscribe()) {
        let mut renewals = shared.renewals();
        loop {
            match *known.borrow_and_update() {
                Status::Removed(reason) => return Err(Error::lost(reason)),
                Status::Left | Status::Lapsing { .. } => break,
                Status::Sent | Status::Queued { .. } | Status::Held(_) => {}
            }
            tokio::select! {
                biased;
                changed = known.changed() => if changed.is_err() { break },
                // A renewal comes each third of it, and shows the entry. Without one, it is looked at.
                () = tokio::time::sleep(shared.ttl * 2 / 5) => {
                    let is_renewed = std::mem::replace(&mut renewals, shared.renewals()) != renewals;
                    if !is_renewed && shared.client.config().layout == Layout::Own {
                        look(shared, entry).await;
                    }
                }
            }
        }
    }
    // It has left, so that it cannot be removed any more.
    pending().await
}

async fn look(shared: &Shared, entry: &Entry) {
    let client = &shared.client;
    let Ok(names) = client.names(entry) else { return };
    // A failure is no matter: the next one shows it.
    let Ok(seen) = read(client, &client.upkeep, &names).await else { return };
    let rows: Vec<_> = seen.rows.iter().collect();
    let shown = Shown::of(&rows, &shared.id, entry, seen.now, client.world.now());
    shared.entries.get(entry.number, |state| {
        if matches!(state.status(), Status::Held(_)) && !matches!(shown, Shown::Held(_)) {
            state.advance(Status::Removed(RELEASED_BY_FORCE));
        }
    });
}
