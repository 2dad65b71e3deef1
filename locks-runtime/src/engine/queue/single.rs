//! The queue for one key.

use super::heads::Heads;
use super::member::{Member, Stage};
use super::turn::Giver;
use super::waits::Waits;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::mode::Ahead;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The queue for one key.
#[derive(Debug)]
pub(super) struct Queue<H> {
    /// Who is at the store for this key, waiting there or holding.
    pub(super) heads: Heads<H>,
    pub(super) waiting: BTreeMap<u64, (Arc<Member>, Giver<H>)>,
    /// How many of those that wait do so in other queues, too.
    pub(super) of_several: usize,
    /// What is ahead of whoever joins.
    pub(super) members: Ahead,
}

impl<H> Queue<H> {
    pub(super) fn new() -> Self {
        Self { heads: Heads::default(), waiting: BTreeMap::new(), of_several: 0, members: Ahead::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.waiting.is_empty()
    }

    /// Who holds the lock, or is at the head, or is the first to wait for it and others.
    pub(super) fn head(&self) -> Option<&Arc<Member>> {
        let waiting = || self.waiting.first_key_value().map(|(_, (member, _))| member);
        self.heads.foremost().or_else(waiting)
    }

    /// How many want the lock and have not got it.
    pub(super) fn count_waiting(&self) -> usize {
        let holds = |stage| matches!(stage, Stage::Held(_) | Stage::Lapsing { .. } | Stage::Leaving);
        self.waiting.len() + self.heads.iter().filter(|head| !holds(head.member.progress().stage)).count()
    }

    /// The error of a request that would be one too many.
    pub(super) fn is_full(&self, most: u32) -> Error {
        let holder = self.head().filter(|head| matches!(head.progress().stage, Stage::Held(_)));
        let holder = holder.map(|head| Holder::clone(&head.request.holder));
        let text = format!("busy, and as many as `max_waiting` = {most} wait for it in this process");
        Error::new(ErrorKind::Busy, text).with_holder(holder)
    }

    /// `member` joins, and is at the head.
    pub(super) fn push_head(&mut self, member: &Arc<Member>) {
        self.members.push(member.mode());
        self.heads.push(Arc::clone(member), None);
    }

    /// `member` joins, and is a head before those that are there.
    pub(super) fn push_first(&mut self, member: &Arc<Member>) {
        self.members.push(member.mode());
        self.heads.push_first(Arc::clone(member));
    }

    /// `member` joins, and waits.
    pub(super) fn push_waiting(&mut self, member: &Arc<Member>, giver: Giver<H>) {
        self.members.push(member.mode());
        self.of_several += usize::from(!member.others.is_empty());
        self.waiting.insert(member.arrival, (Arc::clone(member), giver));
    }

    /// Takes `member` out of those that wait; returns whether it was there.
    pub(super) fn remove_waiting(&mut self, member: &Member) -> Option<Giver<H>> {
        let (_, giver) = self.waiting.remove(&member.arrival)?;
        self.of_several -= usize::from(!member.others.is_empty());
        Some(giver)
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
