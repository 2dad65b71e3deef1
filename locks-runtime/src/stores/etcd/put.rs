//! Sending what may put an entry into its queue, and noting what the answer shows of it.

use super::batch;
use super::error::Failure;
use super::part::Part;
use super::queue::{self, Carried, Conditional, QueueView};
use super::relocate;
use super::shared::Shared;
use crate::contract::Entry;
use std::sync::Arc;

/// Sends the request that may put the entry into the queue by itself.
pub(super) async fn alone(shared: &Shared, entry: &Arc<Entry>, request: Conditional) -> Result<QueueView, Failure> {
    let part = Part::of(&shared.range(entry), request).putting(entry, &shared.entries);
    noted(shared, entry, batch::alone(&shared.client, &part).await)
}

/// Notes what the answer shows of the entry. A request that got no answer stays unresolved.
pub(super) fn noted(
    shared: &Shared,
    entry: &Arc<Entry>,
    carried: Result<Carried, Failure>,
) -> Result<QueueView, Failure> {
    match carried {
        Ok(carried) => {
            let view = queue::view(&carried);
            shared.entries.update(entry, |state| {
                state.created = view.own.or(state.created);
                relocate::note_lease(shared, state);
            });
            Ok(view)
        }
        Err(failure) => {
            shared.entries.forget_if(entry.number, |state| state.created.is_none());
            Err(failure.about(shared.range(entry).start()))
        }
    }
}
