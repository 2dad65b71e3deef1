//! Waits that can never end, because they depend on a hold of the waiting task itself.
//!
//! For each hold there is a list of the queues in which requests under it wait, so that looking for a circle costs as much
//! as the waits that it goes through, however many others there are. A wait with a limit of its own is not in it: it ends.

use super::member::{Member, QueueName};
use super::several;
use super::single::Queue;
use crate::engine::request::{PositionId, Request};
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The queues in which requests under each hold wait without a limit, with their arrivals there.
#[derive(Debug, Default)]
pub(super) struct Waits {
    by_hold: BTreeMap<PositionId, BTreeMap<QueueName, BTreeSet<u64>>>,
    /// How many queues were looked at.
    #[cfg(test)]
    pub(super) looks: std::cell::Cell<u64>,
}

/// One step of a circle: the head of a queue, and who waits under it in the next one.
pub(super) struct Step<'a> {
    pub(super) name: &'a QueueName,
    /// The head, or who waits for several locks in a queue before the next one.
    pub(super) head: &'a Member,
    /// `None` at the last step, whose head is a hold around the new request.
    pub(super) waiter: Option<&'a Member>,
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

    /// The queues through which `request`, waiting in those that are `asked` for, would wait for a hold that it is under itself, and the head of
    /// each that is on the way.
    ///
    /// A request under no hold blocks no other, and one with a limit ends: the search costs nothing in the common case.
    pub(super) fn circle<'a, H: 'a>(
        &self,
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
            self.looks.set(self.looks.get() + 1);
            let Some(here) = queue(&name) else { continue };
            // Any of several permits may come back.
            let are_permits =
                here.heads.iter().nth(1).is_some_and(|head| matches!(head.member.mode(), Mode::Permits(_)));
            if are_permits && !here.heads.iter().all(|head| around.contains(&head.member.id)) {
                continue;
            }
            for head in here.heads.iter().map(|head| &head.member).chain(several::waiting(here, bound)) {
                if around.contains(&head.id) {
                    return Some(way_to((name, head.id), &search.came_from));
                }
                for (next, arrivals) in self.by_hold.get(&head.id).into_iter().flatten() {
                    let Some(there) = queue(next) else { continue };
                    if let Some(bound) = several::depends_up_to_any(there, arrivals) {
                        search.reach(next, bound, Some((&name, head.id)));
                    }
                }
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_hold.is_empty()
    }
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

/// What is not released before `member` has had its turn: the holds that it is under, and what it is to hold itself, of
/// several locks where it is ahead of others.
fn depends(member: &Member) -> impl Iterator<Item = PositionId> {
    let is_endless = member.request.options.wait.is_none();
    let under: &[PositionId] = if is_endless { &member.request.under } else { &[] };
    let own = (is_endless && !member.others.is_empty()).then_some(member.id);
    under.iter().copied().chain(own)
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
