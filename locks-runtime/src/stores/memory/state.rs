//! What the memory store keeps: sessions, and a queue for each lock that has a holder or waiters.

use super::place::{Place, Tickets};
use super::wall_clock::WallClock;
use crate::contract::{Change, Entered, Entry, Grant, Scope, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Ahead;
use crate::world::clock::Moment;
use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

#[derive(Debug)]
pub(super) struct State {
    pub(super) counter: u64,
    pub(super) sessions: BTreeMap<u64, Alive>,
    pub(super) tickets: Tickets,
    /// By hash for speed: nothing depends on their order but what is sorted first.
    pub(super) queues: HashMap<Key, Queue>,
    /// The locks in whose queues something lapses by itself, before its session does.
    timed: BTreeSet<Key>,
    watchers: Vec<(Scope, mpsc::Sender<Change>)>,
    /// Nothing lapses before this: until then a request touches only its own queue.
    pub(super) next_lapse: Moment,
    pub(super) wall_clock: WallClock,
    /// The records of what was done once.
    pub(super) done: BTreeMap<Key, Arc<str>>,
}

/// A session that has not lapsed.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) until: Moment,
    /// The entries that were taken from it, by number.
    pub(super) removed: BTreeSet<u64>,
}

/// One lock's queue, its holders among the first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) places: VecDeque<Place>,
    /// Notified when an entry may move, or is gone; there once somebody listens.
    changed: Option<Arc<Notify>>,
}

impl Queue {
    /// What is notified of the next change.
    pub(super) fn changes(&mut self) -> Arc<Notify> {
        Arc::clone(self.changed.get_or_insert_default())
    }

    fn notify(&self) {
        if let Some(changed) = &self.changed {
            changed.notify_waiters();
        }
    }

    /// The place of an entry, lapsing or not.
    fn place(&mut self, session: u64, number: u64) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.is_of(session, number))
    }

    /// Whether the lock is granted to the entry, as far as this queue is concerned.
    fn lets_hold(&self, session: u64, entry: &Entry) -> bool {
        let ahead = self.places.iter().take_while(|place| !place.is_of(session, entry.number));
        entry.mode.holds_behind(ahead.map(Place::mode))
    }
}

impl Default for State {
    fn default() -> Self {
        let (sessions, queues) = (BTreeMap::new(), HashMap::new());
        Self {
            counter: 0,
            sessions,
            tickets: Tickets::new(),
            done: BTreeMap::new(),
            queues,
            timed: BTreeSet::new(),
            watchers: Vec::new(),
            next_lapse: Moment::NEVER,
            wall_clock: WallClock::default(),
        }
    }
}

impl State {
    /// A new session, which lapses at `until`.
    pub(super) fn open(&mut self, until: Moment) -> u64 {
        self.counter += 1;
        let until = self.lapses(until);
        self.sessions.insert(self.counter, Alive { until, removed: BTreeSet::new() });
        self.counter
    }

    /// Renews a session until then, with all its entries except those named: they lapse when they would have.
    pub(super) fn renew(&mut self, id: u64, until: Moment, uncovered: &[u64]) -> Result<(), Error> {
        let until = self.lapses(until);
        let session = self.session(id)?;
        let before = std::mem::replace(&mut session.until, until);
        if uncovered.is_empty() && self.timed.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = match uncovered.is_empty() {
            true => self.timed.iter().cloned().collect(),
            false => self.queues.keys().cloned().collect(),
        };
        for key in keys {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            for place in queue.places.iter_mut().filter(|place| place.session == id) {
                let is_covered = !uncovered.contains(&place.number());
                place.uncovered_until = (!is_covered).then(|| place.uncovered_until.unwrap_or(before));
                if !is_covered {
                    self.timed.insert(key.clone());
                }
            }
        }
        self.lapses(before);
        Ok(())
    }

    /// Puts an entry into its queues, if it is not there, and says where it is.
    pub(super) fn enter(
        &mut self,
        session: u64,
        entry: &Arc<Entry>,
        when_busy: WhenBusy,
        now: Moment,
    ) -> Result<Entered, Error> {
        self.session(session)?;
        if self.watchers.is_empty()
            && entry.others.is_empty()
            && let Slot::Vacant(free) = self.queues.entry(entry.key.clone())
        {
            self.counter += 1;
            let mut place = Place::new(session, entry);
            place.grant(self.counter, now);
            let mut places = VecDeque::with_capacity(1);
            places.push_back(place);
            free.insert(Queue { places, changed: None });
            return Ok(Entered::Held(Grant::new(self.counter)));
        }
        if !entry.keys().all(|key| self.find_at(key, session, entry.number).is_some()) {
            if let Some(holder) = self.in_the_way(session, entry).filter(|_| when_busy == WhenBusy::Refuse) {
                return Ok(Entered::Busy(holder));
            }
            if !entry.others.is_empty() {
                // One of them may have been taken away by force: all begin anew, at the same moment.
                self.leave(session, entry, now);
            }
            for key in entry.keys() {
                self.queues.entry(key.clone()).or_default().places.push_back(Place::new(session, entry));
            }
            self.settle(&entry.key, now);
            if !self.watchers.is_empty() && self.grant_of(session, entry).is_none() {
                let queued = |key: &Key| (key.clone(), Change::Queued(key.clone(), Holder::clone(&entry.holder)));
                entry.keys().map(queued).for_each(|(key, change)| self.report(&key, &change));
            }
        }
        Ok(self.grant_of(session, entry).map_or(Entered::Queued, Entered::Held))
    }

    /// Who would keep the entry from holding at once, if anybody would.
    fn in_the_way(&self, session: u64, entry: &Entry) -> Option<Arc<Holder>> {
        let queues = entry.keys().filter_map(|key| self.queues.get(key));
        let queue = queues.into_iter().find(|queue| !queue.lets_hold(session, entry))?;
        queue.places.front().map(|place| Arc::clone(&place.entry.holder))
    }

    /// Takes an entry out of its queue, if it is alone there and nobody listens; returns whether it was.
    pub(super) fn leave_alone(&mut self, session: u64, entry: &Entry) -> bool {
        if !self.watchers.is_empty() || !entry.others.is_empty() {
            return false;
        }
        let Slot::Occupied(queue) = self.queues.entry(entry.key.clone()) else { return false };
        let Queue { places, changed: None } = queue.get() else { return false };
        let is_alone = places.len() == 1 && places[0].is_of(session, entry.number) && !places[0].left;
        if is_alone {
            queue.remove();
        }
        is_alone
    }

    /// Takes an entry out of its queues.
    pub(super) fn leave(&mut self, session: u64, entry: &Entry, now: Moment) {
        if let Ok(session) = self.session(session) {
            session.removed.remove(&entry.number);
        }
        for key in entry.keys() {
            if let Some(place) = self.find_any(key, session, entry.number) {
                (place.left, place.extended_until) = (true, None);
            }
        }
        entry.keys().for_each(|key| self.settle(key, now));
    }

    /// Lets the entry stay until then, and no session renew it; returns whether it holds its locks.
    pub(super) fn lapse(&mut self, session: u64, entry: &Entry, until: Moment, now: Moment) -> bool {
        let holds = |place: Option<&mut Place>| place.is_some_and(|place| place.fence.is_some());
        if !entry.keys().all(|key| holds(self.find_any(key, session, entry.number))) {
            return false;
        }
        for key in entry.keys() {
            if let Some(place) = self.find_any(key, session, entry.number) {
                (place.left, place.extended_until) = (true, Some(until));
            }
            self.timed.insert(key.clone());
        }
        entry.keys().for_each(|key| self.settle(key, now));
        true
    }

    /// Removes whoever holds the lock, or of them the one with this fencing number, and returns how many that were.
    pub(super) fn force_release(&mut self, key: &Key, fence: Option<u64>, now: Moment) -> usize {
        let Some(queue) = self.queues.get_mut(key) else { return 0 };
        let is_meant = |place: &&mut Place| place.fence.is_some() && (fence.is_none() || place.fence == fence);
        let take_away = |place: &mut Place| {
            if let Some(session) = self.sessions.get_mut(&place.session).filter(|_| !place.left) {
                session.removed.insert(place.number());
            }
            (place.left, place.extended_until) = (true, None);
            Arc::clone(&place.entry)
        };
        let taken: Vec<_> = queue.places.iter_mut().filter(is_meant).map(take_away).collect();
        self.settle(key, now);
        taken.iter().for_each(|entry| self.notify_all(entry));
        taken.len()
    }

    pub(super) fn watch(&mut self, scope: Scope) -> mpsc::Receiver<Change> {
        let (sender, receiver) = mpsc::channel(1024);
        self.watchers.retain(|(_, watcher)| !watcher.is_closed());
        self.watchers.push((scope, sender));
        receiver
    }

    /// Removes everything that lapsed, and lets the next entries hold.
    pub(super) fn sweep(&mut self, now: Moment) {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| session.until > now);
        if self.sessions.len() < before {
            return self.sweep_all(now);
        }
        let keys = self.timed.iter().cloned().collect();
        self.sweep_keys(keys, now);
    }

    /// The same after a session has ended: its entries may be anywhere.
    pub(super) fn sweep_all(&mut self, now: Moment) {
        let keys = self.queues.keys().cloned().collect();
        self.sweep_keys(keys, now);
    }

    fn sweep_keys(&mut self, mut keys: Vec<Key>, now: Moment) {
        // One order, so that a simulation repeats itself.
        keys.sort_unstable();
        for key in keys {
            self.settle(&key, now);
        }
        let queues = &self.queues;
        self.timed.retain(|key| queues.get(key).is_some_and(|queue| queue.places.iter().any(Place::is_timed)));
        let places = self.timed.iter().filter_map(|key| self.queues.get(key)).flat_map(|queue| &queue.places);
        let ends = places.flat_map(|place| [place.extended_until, place.uncovered_until]).flatten();
        let sessions = self.sessions.values().map(|session| session.until);
        self.next_lapse = sessions.chain(ends).filter(|at| *at > now).min().unwrap_or(Moment::NEVER);
    }

    /// The entry stays until then though its session lapses; returns whether it is there.
    pub(super) fn extend(&mut self, session: u64, entry: &Entry, until: Moment) -> bool {
        if !self.is_there(session, entry) {
            return false;
        }
        for key in entry.keys() {
            if let Some(place) = self.find_at(key, session, entry.number) {
                place.extended_until = Some(until);
                self.timed.insert(key.clone());
            }
        }
        true
    }

    /// Notes that something lapses at `at`.
    pub(super) fn lapses(&mut self, at: Moment) -> Moment {
        self.next_lapse = self.next_lapse.min(at);
        at
    }

    /// Removes the entries that left or lapsed from the queue of `key`, and lets those hold whose turn it is.
    fn settle(&mut self, key: &Key, now: Moment) {
        let Some(Queue { places, .. }) = self.queues.get_mut(key) else { return };
        let is_watched = !self.watchers.is_empty();
        let (mut changes, mut gone, mut several) = (Vec::new(), Vec::new(), Vec::new());
        places.retain(|place| {
            let stays = place.is_extended_at(now)
                || (!place.left && !place.has_lapsed_at(now) && self.sessions.contains_key(&place.session));
            if is_watched && !stays {
                changes.push(match place.fence {
                    Some(_) => Change::Released(key.clone()),
                    None => Change::Withdrawn(key.clone(), Holder::clone(&place.entry.holder)),
                });
            }
            if !stays
                && !place.left
                && let Some(session) = self.sessions.get_mut(&place.session)
            {
                session.removed.insert(place.number());
                gone.push(Arc::clone(&place.entry));
            }
            stays
        });
        let mut ahead = Ahead::default();
        for place in places.iter_mut() {
            if place.fence.is_none() && ahead.let_hold(place.mode()) {
                if !place.entry.others.is_empty() {
                    several.push((place.session, Arc::clone(&place.entry)));
                } else {
                    self.counter += 1;
                    place.grant(self.counter, now);
                    if is_watched {
                        changes.push(Change::Acquired(key.clone(), Holder::clone(&place.entry.holder)));
                    }
                }
            }
            ahead.push(place.mode());
            if ahead.is_final() {
                break;
            }
        }
        if let Some(queue) = self.queues.get(key) {
            queue.notify();
            if queue.places.is_empty() {
                self.queues.remove(key);
            }
        }
        changes.into_iter().for_each(|change| self.report(key, &change));
        gone.iter().filter(|entry| !entry.others.is_empty()).for_each(|entry| self.notify_all(entry));
        several.into_iter().for_each(|(session, entry)| self.grant_several(session, &entry, now));
    }

    /// Grants the locks of an entry if every queue lets it hold.
    fn grant_several(&mut self, session: u64, entry: &Entry, now: Moment) {
        let lets_hold = |key| self.queues.get(key).is_some_and(|queue| queue.lets_hold(session, entry));
        if !entry.keys().all(lets_hold) || !self.is_there(session, entry) {
            return;
        }
        self.counter += 1;
        let fence = self.counter;
        for key in entry.keys() {
            if let Some(place) = self.find_at(key, session, entry.number) {
                place.grant(fence, now);
            }
            if !self.watchers.is_empty() {
                self.report(key, &Change::Acquired(key.clone(), Holder::clone(&entry.holder)));
            }
        }
        self.notify_all(entry);
    }

    /// A watcher that does not keep up is dropped rather than waited for.
    pub(super) fn report(&mut self, key: &Key, change: &Change) {
        self.watchers
            .retain(|(scope, watcher)| !scope.contains(key.as_str()) || watcher.try_send(change.clone()).is_ok());
    }

    /// Something happened to an entry of several locks: who listens does so at the first.
    fn notify_all(&self, entry: &Entry) {
        entry.keys().filter_map(|key| self.queues.get(key)).for_each(Queue::notify);
    }

    pub(super) fn session(&mut self, id: u64) -> Result<&mut Alive, Error> {
        let lapsed = || Error::lost("the session lapsed: it was not renewed within its TTL");
        self.sessions.get_mut(&id).ok_or_else(lapsed)
    }

    /// Whether the entry is in its queues, and has not left.
    pub(super) fn is_there(&mut self, session: u64, entry: &Entry) -> bool {
        entry.keys().all(|key| self.find_at(key, session, entry.number).is_some())
    }

    /// What the entry got, if it holds.
    pub(super) fn grant_of(&mut self, session: u64, entry: &Entry) -> Option<Grant> {
        let mut fence = |key| self.find_at(key, session, entry.number).and_then(|place| place.fence);
        let first = fence(&entry.key)?;
        let others: Option<Vec<u64>> = entry.others.iter().map(fence).collect();
        Grant::of_several(std::iter::once(first).chain(others?))
    }

    /// The entry's place in this queue, unless it has left.
    pub(super) fn find_at(&mut self, key: &Key, session: u64, number: u64) -> Option<&mut Place> {
        self.find_any(key, session, number).filter(|place| !place.left)
    }

    /// The entry's place in this queue, lapsing or not.
    fn find_any(&mut self, key: &Key, session: u64, number: u64) -> Option<&mut Place> {
        self.queues.get_mut(key)?.place(session, number)
    }
}
