//! The queue of this process for each key: first in, first out, so that the process is in the store's queue once.
//!
//! Whoever leaves the head may hand off what it has there (a held entry, for which the next one then need not ask the
//! store).
//!
//! It also sees what no store can: that a wait can never end because it depends on a hold of the waiting task itself.

use super::request::{PositionId, Request};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The queues of one client. `H` is what the one at the head may hand off to the next.
#[derive(Debug)]
pub(crate) struct Queues<H>(Arc<Mutex<HashMap<Key, Queue<H>>>>);

#[derive(Debug)]
struct Queue<H> {
    /// Who is at the store for this key, waiting there or holding.
    head: Member,
    waiting: VecDeque<(Member, oneshot::Sender<Option<H>>)>,
}

#[derive(Debug)]
struct Member {
    id: PositionId,
    request: Arc<Request>,
}

/// A position in the queue for one key; dropping it gives the position up and lets the next one move.
#[derive(Debug)]
pub(crate) struct Position<H> {
    queues: Queues<H>,
    key: Key,
    id: PositionId,
}

/// How [`Queues::join`] went.
#[derive(Debug)]
pub(crate) enum Joined<H> {
    /// At the head: go to the store.
    Head(Position<H>),
    /// Behind others: the receiver reports when the head is reached, with what was handed off there.
    Behind(Position<H>, oneshot::Receiver<Option<H>>),
}

impl<H> Default for Queues<H> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<H> Clone for Queues<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> Queues<H> {
    /// Takes the last position in the queue for the request's key, or the head where there is no queue.
    ///
    /// # Errors
    ///
    /// `Deadlock` if the head of the queue waits, directly or through others of this process, for a hold that `request`
    /// is under.
    pub(crate) fn join(&self, id: PositionId, request: &Arc<Request>) -> Result<Joined<H>, Error> {
        let mut queues = self.0.lock();
        let key = &request.key;
        let position = Position { queues: self.clone(), key: key.clone(), id };
        let member = Member { id, request: Arc::clone(request) };
        let Some(queue) = queues.get(key) else {
            queues.insert(key.clone(), Queue { head: member, waiting: VecDeque::new() });
            return Ok(Joined::Head(position));
        };
        if let Some(blocker) = circle(&queues, queue, request) {
            let error = deadlock(&queue.head, blocker, &member);
            // The position was never taken; its drop would lock the queues again.
            drop(queues);
            return Err(error);
        }
        let (sender, receiver) = oneshot::channel();
        if let Some(queue) = queues.get_mut(key) {
            queue.waiting.push_back((member, sender));
        }
        Ok(Joined::Behind(position, receiver))
    }

    /// Takes the head only where there is no queue; otherwise returns who is there.
    pub(crate) fn try_join(&self, id: PositionId, request: &Arc<Request>) -> Result<Position<H>, Arc<Holder>> {
        match self.0.lock().entry(request.key.clone()) {
            Entry::Occupied(queue) => Err(Arc::clone(&queue.get().head.request.holder)),
            Entry::Vacant(none) => {
                none.insert(Queue { head: Member { id, request: Arc::clone(request) }, waiting: VecDeque::new() });
                Ok(Position { queues: self.clone(), key: request.key.clone(), id })
            }
        }
    }

    /// Who is at the head of the queue for `key`.
    pub(crate) fn head(&self, key: &Key) -> Option<Arc<Holder>> {
        self.0.lock().get(key).map(|queue| Arc::clone(&queue.head.request.holder))
    }

    /// Lets the next one of the queue for `key` move if `id` was its head; otherwise takes `id` out of the queue.
    fn leave(&self, key: &Key, id: PositionId) {
        let mut queues = self.0.lock();
        let Entry::Occupied(mut found) = queues.entry(key.clone()) else { return };
        let queue = found.get_mut();
        if queue.head.id != id {
            queue.waiting.retain(|(member, _)| member.id != id);
            return;
        }
        while let Some((member, turn)) = queue.waiting.pop_front() {
            queue.head = member;
            if turn.send(None).is_ok() {
                return;
            }
        }
        found.remove();
    }

    fn hand_off(&self, key: &Key, id: PositionId, held: H, fits: impl Fn(&Request) -> bool) -> Option<H> {
        let mut held = Some(held);
        let mut queues = self.0.lock();
        let Some(queue) = queues.get_mut(key).filter(|queue| queue.head.id == id) else { return held };
        while queue.waiting.front().is_some_and(|(next, _)| fits(&next.request)) {
            let Some((next, turn)) = queue.waiting.pop_front() else { break };
            match turn.send(held) {
                Ok(()) => {
                    queue.head = next;
                    return None;
                }
                // That waiter has gone.
                Err(back) => held = back,
            }
        }
        held
    }
}

impl<H> Position<H> {
    pub(crate) fn id(&self) -> PositionId {
        self.id
    }

    /// At the head: hands `held`, and the head, off to the next one if it fits. Returns it if none fits.
    pub(crate) fn hand_off(&self, held: H, fits: impl Fn(&Request) -> bool) -> Option<H> {
        self.queues.hand_off(&self.key, self.id, held, fits)
    }
}

impl<H> Drop for Position<H> {
    fn drop(&mut self) {
        self.queues.leave(&self.key, self.id);
    }
}

/// The wait that closes a circle, if `request` waiting in `queue` closes one: some member of this process waits under a
/// hold that `queue` depends on, for a hold that `request` is under.
///
/// A request under no hold blocks no other, so the search costs nothing in the common case.
fn circle<'a, H>(queues: &'a HashMap<Key, Queue<H>>, queue: &'a Queue<H>, request: &Request) -> Option<&'a Member> {
    let mut reached = BTreeSet::new();
    let mut open = vec![&queue.head];
    while let Some(head) = open.pop().filter(|_| !request.under.is_empty()) {
        if request.under.contains(&head.id) {
            return Some(head);
        }
        if !reached.insert(head.id) {
            continue;
        }
        for other in queues.values() {
            if other.waiting.iter().any(|(waiter, _)| waiter.request.under.contains(&head.id)) {
                open.push(&other.head);
            }
        }
    }
    None
}

fn deadlock(head: &Member, blocker: &Member, waiter: &Member) -> Error {
    let (head, blocker, waiter) = (&head.request.holder, &blocker.request.holder, &waiter.request.holder);
    Error::new(
        ErrorKind::Deadlock,
        format!(
            "waiting in {} ({}) would never end: the lock is held by {} ({}), which waits for what {} ({}) holds around \
             this wait; take the locks in one order everywhere",
            waiter.name, waiter.origin, head.name, head.origin, blocker.name, blocker.origin
        ),
    )
}

#[cfg(test)]
mod explored;
#[cfg(test)]
mod tests;
