//! The queue for one key.

use super::heads::Heads;
use super::member::{Member, QueueName};
use super::turn::Giver;
use super::waits::{Step, Waits};
use crate::engine::request::PositionId;
use crate::values::mode::Ahead;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The queue for one key.
#[derive(Debug)]
pub(super) struct Queue<H> {
    /// Who is at the store for this key, waiting there or holding.
    pub(super) heads: Heads<H>,
    pub(super) waiting: BTreeMap<u64, (Arc<Member>, Giver<H>)>,
    /// What is ahead of whoever joins.
    pub(super) members: Ahead,
}

impl<H> Queue<H> {
    pub(super) fn new() -> Self {
        Self { heads: Heads::default(), waiting: BTreeMap::new(), members: Ahead::default() }
    }

    /// Gives their turn to those that are next and may be at the head now that `gone` has left. Returns whether any is.
    ///
    /// The first that may not stops it: of permits with several limits, one that would do with more may be behind it.
    pub(super) fn let_move(
        &mut self,
        waits: &mut Waits,
        gone: &Member,
        due: impl Fn(&Member) -> Option<Moment>,
    ) -> bool {
        let (mut ahead, mut is_given) = (None::<Ahead>, false);
        while let Some(next) = self.waiting.first_entry() {
            let ahead = ahead.get_or_insert_with(|| self.heads.ahead());
            if !ahead.let_hold(next.get().0.mode()) {
                break;
            }
            let (next, giver) = next.remove();
            waits.end(&next);
            next.inherit(gone);
            if giver.give(None).is_err() {
                // That waiter has gone.
                self.members.remove(next.mode());
                continue;
            }
            ahead.push(next.mode());
            let given = due(&next).map(|due| (giver, due));
            self.heads.push(next, given);
            is_given = true;
        }
        is_given
    }
}

/// The circle that goes through the queues `way`, by these of their heads, for the error that describes it.
pub(super) fn steps<'a, H>(queues: &'a HashMap<QueueName, Queue<H>>, way: &[(QueueName, PositionId)]) -> Vec<Step<'a>> {
    let step = |(number, (name, id)): (usize, &(QueueName, PositionId))| {
        let head = queues.get(name)?.heads.iter().find(|head| head.member.id == *id)?;
        let next = way.get(number + 1).and_then(|(next, _)| queues.get(next));
        let mut waiting = next.into_iter().flat_map(|next| next.waiting.values()).map(|(waiter, _)| &**waiter);
        Some(Step { head: &head.member, waiter: waiting.find(|waiter| waiter.request.under.contains(id)) })
    };
    way.iter().enumerate().filter_map(step).collect()
}
