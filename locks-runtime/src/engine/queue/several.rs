//! Requests for several locks: each is in all their queues at one moment, and at the head when every queue lets it.

use super::member::{Member, QueueName};
use super::single::Queue;
use super::waits::Waits;
use crate::values::mode::{Ahead, Mode};
use crate::world::clock::Moment;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

type Queues<H> = HashMap<QueueName, Queue<H>>;

/// Puts `member` at the head of all its queues if each lets it; returns whether they do.
pub(super) fn begin_at_head<H>(queues: &mut Queues<H>, member: &Arc<Member>) -> bool {
    let lets_hold = |name| queues.get(name).is_none_or(|queue: &Queue<H>| queue.members.let_hold(member.mode()));
    if !member.names().all(lets_hold) {
        return false;
    }
    for name in member.names() {
        queues.entry(name.clone()).or_insert_with(Queue::new).push_head(member);
    }
    true
}

/// Those that came before `bound` and wait in other queues, too.
pub(super) fn waiting<H>(queue: &Queue<H>, bound: u64) -> impl Iterator<Item = &Arc<Member>> {
    let waiting = if queue.of_several > 0 { Some(queue.waiting.range(..bound)) } else { None };
    waiting.into_iter().flatten().map(|(_, (member, _))| member).filter(|member| !member.others.is_empty())
}

/// Who came to the queue before this arrival keeps a member of this mode and `arrival` waiting, if it waits itself: whoever may
/// hold the lock beside it does not.
pub(super) fn depends_up_to<H>(queue: &Queue<H>, arrival: u64, mode: Mode) -> u64 {
    if queue.of_several == 0 {
        return 0;
    }
    let is_beside = |other| std::mem::discriminant(&other) == std::mem::discriminant(&mode) && mode != Mode::Exclusive;
    let mut before = queue.waiting.range(..arrival).rev().map(|(at, (member, _))| (*at, member.mode()));
    before.find(|(_, other)| !is_beside(*other)).map_or(0, |(at, _)| at + 1)
}

/// The same of the members that wait there since these arrivals, if the queue keeps any of them waiting.
pub(super) fn depends_up_to_any<H>(queue: &Queue<H>, arrivals: &BTreeSet<u64>) -> Option<u64> {
    if queue.of_several == 0 {
        return Some(0);
    }
    let waiting = arrivals.iter().filter_map(|arrival| queue.waiting.get(arrival)).map(|(member, _)| member);
    let kept = waiting.filter(|member| !lets_hold(queue, member));
    kept.map(|member| depends_up_to(queue, member.arrival, member.mode())).max()
}

/// The head of a queue that keeps `member` waiting.
pub(super) fn in_the_way<'a, H>(queues: &'a Queues<H>, member: &Member) -> Option<&'a Arc<Member>> {
    let queue = member.names().filter_map(|name| queues.get(name)).find(|queue| !lets_hold(queue, member))?;
    queue.head().filter(|head| head.id != member.id)
}

/// Gives their turn to those of the queue `name` that are next and may be at the head now that `gone` has left, those that wait
/// in other queues among them. Returns the queues where the turns were given.
pub(super) fn let_move<H>(
    queues: &mut Queues<H>,
    waits: &mut Waits,
    (name, gone): (&QueueName, &Member),
    due: impl Fn(&Member) -> Option<Moment>,
) -> Vec<QueueName> {
    let mut given = Vec::new();
    let Some(queue) = queues.get(name) else { return given };
    let mut ahead = queue.heads.ahead();
    let waiting: Vec<Arc<Member>> = queue.waiting.values().map(|(member, _)| Arc::clone(member)).collect();
    for next in waiting {
        if !ahead.let_hold(next.mode()) {
            break;
        }
        ahead.push(next.mode());
        let lets_hold = |name| queues.get(name).is_some_and(|queue| lets_hold(queue, &next));
        if !next.names().all(lets_hold) {
            continue;
        }
        next.inherit(gone);
        if give_turn(queues, &next, &due) {
            waits.end(&next);
            given.push(next.name.clone());
        }
    }
    given
}

/// Puts `next`, which waits, at the head of its queues, unless it has gone: it leaves them by itself then.
fn give_turn<H>(queues: &mut Queues<H>, next: &Arc<Member>, due: impl Fn(&Member) -> Option<Moment>) -> bool {
    let giver =
        queues.get(&next.name).and_then(|queue| queue.waiting.get(&next.arrival)).map(|(_, giver)| giver.clone());
    let Some(giver) = giver.filter(|giver| giver.give(None).is_ok()) else { return false };
    // Whether the turn is taken is looked after at one of its queues.
    let mut turn = due(next).map(|due| (giver, due));
    for name in next.names() {
        if let Some(queue) = queues.get_mut(name) {
            queue.remove_waiting(next);
            queue.heads.push(Arc::clone(next), turn.take());
        }
    }
    true
}

/// Whether `member`, which is in the queue, may be at its head.
fn lets_hold<H>(queue: &Queue<H>, member: &Member) -> bool {
    let mut ahead = Ahead::default();
    queue.heads.iter().filter(|head| head.member.id != member.id).for_each(|head| ahead.push(head.member.mode()));
    queue.waiting.range(..member.arrival).for_each(|(_, (before, _))| ahead.push(before.mode()));
    ahead.let_hold(member.mode())
}
