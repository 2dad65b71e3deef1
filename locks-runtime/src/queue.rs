//! The line of this process for each key: first in, first out, so that the process stands in the store's line once.
//!
//! Whoever leaves the head may pass on what it has there (a hold, which the next one then need not ask the store for).
//!
//! It also sees what no store can: that a wait can never end because it depends on a hold of the waiting task itself.

use crate::error::{Error, ErrorKind};
use crate::holder::Holder;
use crate::key::Key;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Names one place, and with it the hold that grows out of it, in the whole process.
pub(crate) type PlaceId = u64;

/// Who stands in a line.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    /// The holds under which this task already runs, innermost first.
    pub(crate) under: Vec<PlaceId>,
    /// Who it is, for messages.
    pub(crate) holder: Arc<Holder>,
    /// The TTL with which it could go on with the hold of the one before it; `None` if it needs one of its own.
    pub(crate) takes_over: Option<Duration>,
}

/// The lines of one client. `B` is what one at the head may pass on to the next.
#[derive(Debug)]
pub(crate) struct Lines<B>(Arc<Mutex<HashMap<Key, Line<B>>>>);

#[derive(Debug)]
struct Line<B> {
    /// Who is at the store for this key, waiting there or holding.
    head: Member,
    waiting: VecDeque<(Member, oneshot::Sender<Option<B>>)>,
}

#[derive(Debug)]
struct Member {
    id: PlaceId,
    party: Party,
}

/// A place in the line for one key; dropping it gives the place up and lets the next one move.
#[derive(Debug)]
pub(crate) struct Place<B> {
    lines: Lines<B>,
    key: Key,
    id: PlaceId,
}

/// How [`Lines::stand`] went.
#[derive(Debug)]
pub(crate) enum Stood<B> {
    /// At the head: go to the store.
    First(Place<B>),
    /// Behind others: the receiver tells when the head is reached, and has what was passed on there.
    Behind(Place<B>, oneshot::Receiver<Option<B>>),
}

impl<B> Default for Lines<B> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<B> Clone for Lines<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Lines<B> {
    /// Takes the last place in the line for `key`, or the first where there is no line.
    ///
    /// # Errors
    ///
    /// `Deadlock` if the head of the line waits, directly or through others of this process, for a hold that `party`
    /// is under.
    pub(crate) fn stand(&self, key: &Key, id: PlaceId, party: Party) -> Result<Stood<B>, Error> {
        let mut lines = self.lock();
        let place = Place { lines: self.clone(), key: key.clone(), id };
        let member = Member { id, party };
        let Some(line) = lines.get(key) else {
            lines.insert(key.clone(), Line { head: member, waiting: VecDeque::new() });
            return Ok(Stood::First(place));
        };
        if let Some(blocker) = circle(&lines, line, &member.party) {
            let error = deadlock(key, &line.head, blocker, &member);
            // The place was never taken; its drop would lock the lines again.
            drop(lines);
            return Err(error);
        }
        let (sender, receiver) = oneshot::channel();
        if let Some(line) = lines.get_mut(key) {
            line.waiting.push_back((member, sender));
        }
        Ok(Stood::Behind(place, receiver))
    }

    /// Takes the place only where there is no line; otherwise tells who is at its head.
    pub(crate) fn try_stand(&self, key: &Key, id: PlaceId, party: Party) -> Result<Place<B>, Arc<Holder>> {
        match self.lock().entry(key.clone()) {
            Entry::Occupied(line) => Err(Arc::clone(&line.get().head.party.holder)),
            Entry::Vacant(none) => {
                none.insert(Line { head: Member { id, party }, waiting: VecDeque::new() });
                Ok(Place { lines: self.clone(), key: key.clone(), id })
            }
        }
    }

    /// Who is at the head of the line for `key`.
    pub(crate) fn head(&self, key: &Key) -> Option<Arc<Holder>> {
        self.lock().get(key).map(|line| Arc::clone(&line.head.party.holder))
    }

    /// Lets the next one of the line for `key` move if `id` was its head; otherwise takes `id` out of the line.
    fn leave(&self, key: &Key, id: PlaceId) {
        let mut lines = self.lock();
        let Entry::Occupied(mut found) = lines.entry(key.clone()) else { return };
        let line = found.get_mut();
        if line.head.id != id {
            line.waiting.retain(|(member, _)| member.id != id);
            return;
        }
        while let Some((member, turn)) = line.waiting.pop_front() {
            line.head = member;
            if turn.send(None).is_ok() {
                return;
            }
        }
        found.remove();
    }

    fn hand_on(&self, key: &Key, id: PlaceId, baton: B, fits: impl Fn(&Party) -> bool) -> Option<B> {
        let mut baton = Some(baton);
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(key).filter(|line| line.head.id == id) else { return baton };
        while line.waiting.front().is_some_and(|(next, _)| fits(&next.party)) {
            let Some((next, turn)) = line.waiting.pop_front() else { break };
            match turn.send(baton) {
                Ok(()) => {
                    line.head = next;
                    return None;
                }
                // Nobody waits there any more.
                Err(back) => baton = back,
            }
        }
        baton
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Line<B>>> {
        // Nothing in here panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Place<B> {
    pub(crate) fn id(&self) -> PlaceId {
        self.id
    }

    /// At the head: passes `baton`, and the head, on to the next one if it fits. Gives it back if there is nobody whom it
    /// fits.
    pub(crate) fn hand_on(&self, baton: B, fits: impl Fn(&Party) -> bool) -> Option<B> {
        self.lines.hand_on(&self.key, self.id, baton, fits)
    }
}

impl<B> Drop for Place<B> {
    fn drop(&mut self) {
        self.lines.leave(&self.key, self.id);
    }
}

/// The wait that closes a circle, if `party` waiting at `line` closes one: some member of this process waits under a
/// hold that `line` depends on, for a hold that `party` is under.
///
/// A party under no hold keeps nobody from moving, so the search costs nothing in the common case.
fn circle<'a, B>(lines: &'a HashMap<Key, Line<B>>, line: &'a Line<B>, party: &Party) -> Option<&'a Member> {
    let mut reached = HashSet::new();
    let mut open = vec![&line.head];
    while let Some(head) = open.pop().filter(|_| !party.under.is_empty()) {
        if party.under.contains(&head.id) {
            return Some(head);
        }
        if !reached.insert(head.id) {
            continue;
        }
        for other in lines.values() {
            if other.waiting.iter().any(|(waiter, _)| waiter.party.under.contains(&head.id)) {
                open.push(&other.head);
            }
        }
    }
    None
}

fn deadlock(key: &Key, head: &Member, blocker: &Member, waiter: &Member) -> Error {
    let (head, blocker, waiter) = (&head.party.holder, &blocker.party.holder, &waiter.party.holder);
    Error::new(
        ErrorKind::Deadlock,
        format!(
            "waiting in {} ({}) would never end: the lock is held by {} ({}), which waits for what {} ({}) holds around \
             this wait; take the locks in one order everywhere",
            waiter.name, waiter.origin, head.name, head.origin, blocker.name, blocker.origin
        ),
    )
    .with_key(key)
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod explored;

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: &str, under: &[PlaceId]) -> Party {
        let holder = Holder {
            version: 1,
            name: name.to_owned().into(),
            origin: format!("{name}.rs:1").into(),
            ..Holder::default()
        };
        Party { under: under.to_vec(), holder: holder.into(), takes_over: None }
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn first(lines: &Lines<u32>, name: &str, id: PlaceId, under: &[PlaceId]) -> Place<u32> {
        match lines.stand(&key(name), id, party(name, under)).unwrap() {
            Stood::First(place) => place,
            Stood::Behind(..) => panic!("there was a line"),
        }
    }

    fn behind(
        lines: &Lines<u32>,
        name: &str,
        id: PlaceId,
        under: &[PlaceId],
    ) -> (Place<u32>, oneshot::Receiver<Option<u32>>) {
        match lines.stand(&key(name), id, party("waiter", under)).unwrap() {
            Stood::Behind(place, turn) => (place, turn),
            Stood::First(_) => panic!("there was no line"),
        }
    }

    #[test]
    fn first_in_first_out_and_one_who_leaves_is_passed_over() {
        let lines = Lines::<u32>::default();
        let head = first(&lines, "a", 1, &[]);
        let (second, mut second_turn) = behind(&lines, "a", 2, &[]);
        let (third, mut third_turn) = behind(&lines, "a", 3, &[]);
        let (_fourth, mut fourth_turn) = behind(&lines, "a", 4, &[]);
        drop(second);
        assert!(second_turn.try_recv().is_err());
        drop(head);
        assert!(third_turn.try_recv().is_ok());
        assert!(fourth_turn.try_recv().is_err());
        drop(third);
        assert!(fourth_turn.try_recv().is_ok());
    }

    #[test]
    fn a_line_without_members_is_forgotten() {
        let lines = Lines::<u32>::default();
        let head = first(&lines, "a", 1, &[]);
        assert_eq!(lines.try_stand(&key("a"), 2, party("b", &[])).unwrap_err().name, "a");
        let (waiter, turn) = behind(&lines, "a", 3, &[]);
        drop(turn);
        drop(head);
        drop(waiter);
        assert!(lines.lock().is_empty());
    }

    #[test]
    fn a_circle_of_two_is_seen_and_names_both_places() {
        let lines = Lines::<u32>::default();
        let (_a, _b) = (first(&lines, "a", 1, &[]), first(&lines, "b", 2, &[]));
        let _a_waits_for_b = behind(&lines, "b", 3, &[1]);
        let error = lines.stand(&key("a"), 4, party("last", &[2])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        let text = error.to_string();
        assert!(text.contains("last.rs:1") && text.contains("a.rs:1") && text.contains("b.rs:1"), "{text}");
    }

    #[test]
    fn a_circle_of_three_is_seen_and_a_chain_is_none() {
        let lines = Lines::<u32>::default();
        let _holds = (first(&lines, "a", 1, &[]), first(&lines, "b", 2, &[]), first(&lines, "c", 3, &[]));
        let _ab = behind(&lines, "b", 4, &[1]);
        let _bc = behind(&lines, "c", 5, &[2]);
        assert!(lines.stand(&key("a"), 6, party("free", &[])).is_ok());
        assert_eq!(lines.stand(&key("a"), 7, party("c", &[3])).unwrap_err().kind(), ErrorKind::Deadlock);
    }
}
