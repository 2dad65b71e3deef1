//! What waits for what: the [search](super::search) for waits that can never end goes through it.
//!
//! For each hold there is a list of the queues in which requests under it wait, so that looking for a circle costs as much
//! as the waits that it goes through, however many others there are. A wait with a limit of its own is not in it: it ends.

use super::member::{Member, QueueName};
use crate::engine::request::PositionId;
use std::collections::{BTreeMap, BTreeSet};

/// The queues in which requests under each hold wait without a limit, with their arrivals there.
#[derive(Debug, Default)]
pub(super) struct Waits {
    by_hold: BTreeMap<PositionId, BTreeMap<QueueName, BTreeSet<u64>>>,
    /// How many queues were looked at.
    #[cfg(test)]
    pub(super) looks: std::cell::Cell<u64>,
}

impl Waits {
    /// `member` waits in its queue from now on.
    pub(super) fn begin(&mut self, member: &Member) {
        for hold in depends(member) {
            for name in member.names() {
                self.by_hold.entry(hold).or_default().entry(name.clone()).or_default().insert(member.arrival);
            }
        }
    }

    /// `member` waits no more.
    pub(super) fn end(&mut self, member: &Member) {
        for hold in depends(member) {
            let Some(queues) = self.by_hold.get_mut(&hold) else { continue };
            for name in member.names() {
                if let Some(arrivals) = queues.get_mut(name) {
                    arrivals.remove(&member.arrival);
                    if arrivals.is_empty() {
                        queues.remove(name);
                    }
                }
            }
            if queues.is_empty() {
                self.by_hold.remove(&hold);
            }
        }
    }

    /// The queues in which requests under the hold wait, with their arrivals there.
    pub(super) fn under(&self, hold: PositionId) -> impl Iterator<Item = (&QueueName, &BTreeSet<u64>)> {
        self.by_hold.get(&hold).into_iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_hold.is_empty()
    }
}

/// What is not released before `member` has had its turn: the holds that it is under, and what it is to hold itself, of
/// several locks where it is ahead of others.
fn depends(member: &Member) -> impl Iterator<Item = PositionId> {
    let is_endless = member.request.options.wait.is_none();
    let under: &[PositionId] = if is_endless { &member.request.under } else { &[] };
    let own = (is_endless && !member.others.is_empty()).then_some(member.id);
    under.iter().copied().chain(own)
}
