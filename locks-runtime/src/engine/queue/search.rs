//! The search for waits that can never end, because they depend on a hold of the waiting task itself.

use super::member::{Member, QueueName};
use super::several;
use super::single::Queue;
use super::waits::Waits;
use crate::engine::request::{PositionId, Request};
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// One step of a circle: the head of a queue, and who waits under it in the next one.
pub(super) struct Step<'a> {
    pub(super) name: &'a QueueName,
    /// The head, or who waits for several locks in a queue before the next one.
    pub(super) head: &'a Member,
    /// `None` at the last step, whose head is a hold around the new request.
    pub(super) waiter: Option<&'a Member>,
}

/// The queues through which `request`, waiting in those that are `asked` for, would wait for a hold that it is under itself, and
/// the head of each that is on the way.
///
/// A request under no hold blocks no other, and one with a limit ends: the search costs nothing in the common case.
pub(super) fn circle<'a, H: 'a>(
    waits: &Waits,
    asked: impl Iterator<Item = &'a QueueName>,
    request: &Request,
    queue: impl Fn(&QueueName) -> Option<&'a Queue<H>>,
) -> Option<Vec<(QueueName, PositionId)>> {
    if request.under.is_empty() || request.options.wait.is_some() {
        return None;
    }
    let around: BTreeSet<PositionId> = request.under.iter().copied().collect();
    let mut search = Search { reached: BTreeMap::new(), came_from: BTreeMap::new(), open: Vec::new() };
    for name in asked {
        // Of several queues some may let it hold at once.
        if let Some(queue) = queue(name).filter(|queue| !queue.members.let_hold(request.options.mode)) {
            search.reach(name, several::depends_up_to(queue, u64::MAX, request.options.mode), None);
        }
    }
    while let Some((name, bound)) = search.open.pop() {
        #[cfg(test)]
        waits.looks.set(waits.looks.get() + 1);
        let Some(here) = queue(&name) else { continue };
        // Any of several permits may come back.
        let are_permits = here.heads.iter().nth(1).is_some_and(|head| matches!(head.member.mode(), Mode::Permits(_)));
        if are_permits && !here.heads.iter().all(|head| around.contains(&head.member.id)) {
            continue;
        }
        for head in here.heads.iter().map(|head| &head.member).chain(several::waiting(here, bound)) {
            if around.contains(&head.id) {
                return Some(way_to((name, head.id), &search.came_from));
            }
            for (next, arrivals) in waits.under(head.id) {
                let Some(there) = queue(next) else { continue };
                if let Some(bound) = several::depends_up_to_any(there, arrivals) {
                    search.reach(next, bound, Some((&name, head.id)));
                }
            }
        }
    }
    None
}

/// What a search for a circle has reached.
struct Search {
    /// The queues, each with the arrival up to which those were looked at that wait there for several locks.
    reached: BTreeMap<QueueName, u64>,
    came_from: BTreeMap<QueueName, (QueueName, PositionId)>,
    open: Vec<(QueueName, u64)>,
}

impl Search {
    fn reach(&mut self, name: &QueueName, bound: u64, from: Option<(&QueueName, PositionId)>) {
        if self.reached.get(name).is_some_and(|before| *before >= bound) {
            return;
        }
        let is_new = self.reached.insert(name.clone(), bound).is_none();
        if let Some((before, id)) = from.filter(|_| is_new) {
            self.came_from.insert(name.clone(), (before.clone(), id));
        }
        self.open.push((name.clone(), bound));
    }
}

fn way_to(
    last: (QueueName, PositionId),
    came_from: &BTreeMap<QueueName, (QueueName, PositionId)>,
) -> Vec<(QueueName, PositionId)> {
    let mut way = vec![last];
    while let Some(before) = way.last().and_then(|(name, _)| came_from.get(name)) {
        way.push(before.clone());
    }
    way.reverse();
    way
}

/// The circle that goes through the queues `way`, by these of their heads, for the error that describes it.
pub(super) fn steps<'a, H>(
    queues: &'a HashMap<QueueName, Queue<H>>,
    way: &'a [(QueueName, PositionId)],
) -> Vec<Step<'a>> {
    let step = |(number, (name, id)): (usize, &'a (QueueName, PositionId))| {
        let queue = queues.get(name)?;
        let heads = queue.heads.iter().map(|head| &head.member);
        // Who waits for several locks keeps those behind it waiting, too.
        let head = heads.chain(queue.waiting.values().map(|(waiting, _)| waiting)).find(|head| head.id == *id)?;
        let next = way.get(number + 1).and_then(|(next, _)| queues.get(next));
        let mut waiting = next.into_iter().flat_map(|next| next.waiting.values()).map(|(waiter, _)| &**waiter);
        Some(Step { name, head, waiter: waiting.find(|waiter| waiter.id == *id || waiter.request.under.contains(id)) })
    };
    way.iter().enumerate().filter_map(step).collect()
}

/// The error of a request that would close the circle `steps`.
pub(super) fn deadlock(waiter: &Request, steps: &[Step<'_>]) -> Error {
    let mut text = format!("waiting in {} would never end: ", Place(waiter));
    for Step { name, head, waiter } in steps {
        let key = match name {
            QueueName::Lock(key) => key,
            QueueName::Body(_) => &head.request.key,
        };
        match waiter {
            Some(waiter) if waiter.id == head.id => {
                text.push_str(&format!(
                    "`{key}` goes to {} first, which waits for others of its locks; ",
                    Place(&head.request)
                ));
                continue;
            }
            _ => text.push_str(&format!("`{key}` is held by {}", Place(&head.request))),
        }
        if let Some(waiter) = waiter {
            text.push_str(&format!(", under which {} waits; ", Place(&waiter.request)));
        }
    }
    text.push_str(" around this wait; take the locks in one order everywhere");
    Error::new(ErrorKind::Deadlock, text)
}

/// Where a request is made, for a person.
struct Place<'a>(&'a Request);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.holder.name, self.0.holder.origin)
    }
}
