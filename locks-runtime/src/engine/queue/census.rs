//! All requests of a client for locks, whatever their queues.

use super::Queues;
use super::member::{Member, QueueName, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;

impl<H> Queues<H> {
    /// Every request for a lock that holds it, waits for it, or is on its way out of the store, in the order in which they came.
    /// Turns inside a body are not among them.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        let mut members = BTreeMap::new();
        self.for_each_member(|member| drop(members.insert(member.arrival, Arc::clone(member))));
        members.into_values().collect()
    }

    /// Shows all of them to `see`, in no order: one for several locks as often as it has locks.
    pub(crate) fn for_each_member(&self, mut see: impl FnMut(&Arc<Member>)) {
        let state = self.0.state.lock();
        for (name, queue) in &state.queues {
            if matches!(name, QueueName::Lock(_)) {
                queue.heads.iter().for_each(|head| see(&head.member));
                queue.waiting.values().for_each(|(member, _)| see(member));
            }
        }
    }

    /// Returns when none of them is at such a stage, of those that `counts`.
    async fn until_none(&self, counts: impl Fn(&Member) -> bool, is_such: impl Fn(Stage) -> bool) {
        loop {
            let mut such = self.members();
            such.retain(|member| counts(member) && is_such(member.progress().stage));
            if such.is_empty() {
                return;
            }
            for member in such {
                member.reaches(|stage| !is_such(stage)).await;
            }
        }
    }

    /// Returns when nobody holds a lock.
    pub(crate) async fn until_none_holds(&self) {
        self.until_none(|_| true, |stage| matches!(stage, Stage::Held(_))).await;
    }

    /// Returns when nothing of those that `counts` is in the store, but what lapses by itself.
    pub(crate) async fn until_none_is_left(&self, counts: impl Fn(&Member) -> bool) {
        self.until_none(counts, Stage::is_at_the_store).await;
    }
}
