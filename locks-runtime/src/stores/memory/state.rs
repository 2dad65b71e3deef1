//! What the memory store keeps: sessions, and a queue for each lock that has a holder or waiters.

use crate::contract::{Change, Entered, Entry, Grant, Scope, WhenBusy};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::{Ahead, Mode};
use crate::world::clock::Moment;
use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

#[derive(Debug)]
pub(super) struct State {
    counter: u64,
    pub(super) sessions: BTreeMap<u64, Alive>,
    /// By hash for speed: nothing depends on their order but what is sorted first.
    pub(super) queues: HashMap<Key, Queue>,
    /// The locks in whose queues something lapses by itself, before its session does.
    timed: BTreeSet<Key>,
    watchers: Vec<(Scope, mpsc::Sender<Change>)>,
    /// Nothing lapses before this: until then a request touches only its own queue.
    pub(super) next_lapse: Moment,
}

/// A session that has not lapsed.
#[derive(Debug)]
pub(super) struct Alive {
    until: Moment,
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
}

/// An entry in a queue.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) session: u64,
    pub(super) number: u64,
    pub(super) holder: Arc<Holder>,
    mode: Mode,
    /// The fencing number, once it holds.
    pub(super) fence: Option<u64>,
    pub(super) extended_until: Option<Moment>,
    /// The end of an entry that its session's renewals do not cover.
    uncovered_until: Option<Moment>,
    /// No session renews it any more: it is there only until `extended_until`.
    left: bool,
}

impl Default for State {
    fn default() -> Self {
        let (sessions, queues) = (BTreeMap::new(), HashMap::new());
        Self { counter: 0, sessions, queues, timed: BTreeSet::new(), watchers: Vec::new(), next_lapse: Moment::NEVER }
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
                let is_covered = !uncovered.contains(&place.number);
                place.uncovered_until = (!is_covered).then(|| place.uncovered_until.unwrap_or(before));
                if !is_covered {
                    self.timed.insert(key.clone());
                }
            }
        }
        self.lapses(before);
        Ok(())
    }

    /// Puts an entry into its queue, if it is not there, and says where it is.
    pub(super) fn enter(
        &mut self,
        session: u64,
        entry: &Entry,
        when_busy: WhenBusy,
        now: Moment,
    ) -> Result<Entered, Error> {
        self.session(session)?;
        if self.watchers.is_empty()
            && let Slot::Vacant(free) = self.queues.entry(entry.key.clone())
        {
            self.counter += 1;
            let mut places = VecDeque::with_capacity(1);
            places.push_back(Place { fence: Some(self.counter), ..Place::new(session, entry) });
            free.insert(Queue { places, changed: None });
            return Ok(Entered::Held(Grant::new(self.counter)));
        }
        if self.find(session, entry).is_none() {
            let queue = &mut self.queues.entry(entry.key.clone()).or_default().places;
            if let (WhenBusy::Refuse, Some(head)) = (when_busy, queue.front())
                && !entry.mode.holds_behind(queue.iter().map(|place| place.mode))
            {
                return Ok(Entered::Busy(Arc::clone(&head.holder)));
            }
            queue.push_back(Place::new(session, entry));
            self.settle(&entry.key, now);
        }
        let fence = self.find(session, entry).and_then(|place| place.fence);
        Ok(fence.map_or(Entered::Queued, |fence| Entered::Held(Grant::new(fence))))
    }

    /// Takes an entry out of its queue, if it is alone there and nobody listens; returns whether it was.
    pub(super) fn leave_alone(&mut self, session: u64, entry: &Entry) -> bool {
        if !self.watchers.is_empty() {
            return false;
        }
        let Slot::Occupied(queue) = self.queues.entry(entry.key.clone()) else { return false };
        let Queue { places, changed: None } = queue.get() else { return false };
        let is_alone = places.len() == 1 && places[0].is_of(session, entry) && !places[0].left;
        if is_alone {
            queue.remove();
        }
        is_alone
    }

    /// Takes an entry out of its queue.
    pub(super) fn leave(&mut self, session: u64, entry: &Entry, now: Moment) {
        if let Ok(session) = self.session(session) {
            session.removed.remove(&entry.number);
        }
        if let Some(place) = self.find_any(session, entry) {
            (place.left, place.extended_until) = (true, None);
            self.settle(&entry.key, now);
        }
    }

    /// Lets the entry stay until then, and no session renew it; returns whether it holds the lock.
    pub(super) fn lapse(&mut self, session: u64, entry: &Entry, until: Moment, now: Moment) -> bool {
        let Some(place) = self.find_any(session, entry).filter(|place| place.fence.is_some()) else { return false };
        (place.left, place.extended_until) = (true, Some(until));
        self.timed.insert(entry.key.clone());
        self.settle(&entry.key, now);
        true
    }

    /// Removes whoever holds the lock, and returns how many that were.
    pub(super) fn force_release(&mut self, key: &Key, now: Moment) -> usize {
        let Some(queue) = self.queues.get_mut(key) else { return 0 };
        let held = queue.places.iter_mut().filter(|place| place.fence.is_some());
        let take_away = |place: &mut Place| {
            if let Some(session) = self.sessions.get_mut(&place.session).filter(|_| !place.left) {
                session.removed.insert(place.number);
            }
            (place.left, place.extended_until) = (true, None);
        };
        let count = held.map(take_away).count();
        self.settle(key, now);
        count
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
        let Some(place) = self.find(session, entry) else { return false };
        place.extended_until = Some(until);
        self.timed.insert(entry.key.clone());
        true
    }

    /// Notes that something lapses at `at`.
    pub(super) fn lapses(&mut self, at: Moment) -> Moment {
        self.next_lapse = self.next_lapse.min(at);
        at
    }

    /// Removes the entries that left or lapsed from the queue of `key`, and lets those hold whose turn it is.
    fn settle(&mut self, key: &Key, now: Moment) {
        let Some(Queue { places, changed }) = self.queues.get_mut(key) else { return };
        let is_watched = !self.watchers.is_empty();
        let mut changes = Vec::new();
        places.retain(|place| {
            let stays = place.is_extended_at(now)
                || (!place.left && !place.has_lapsed_at(now) && self.sessions.contains_key(&place.session));
            if is_watched && !stays && place.fence.is_some() {
                changes.push(Change::Released(key.clone()));
            }
            if !stays
                && !place.left
                && let Some(session) = self.sessions.get_mut(&place.session)
            {
                session.removed.insert(place.number);
            }
            stays
        });
        let mut ahead = Ahead::default();
        for place in places.iter_mut() {
            if place.fence.is_none() && ahead.let_hold(place.mode) {
                self.counter += 1;
                place.fence = Some(self.counter);
                if is_watched {
                    changes.push(Change::Acquired(key.clone(), Holder::clone(&place.holder)));
                }
            }
            ahead.push(place.mode);
            if ahead.is_final() {
                break;
            }
        }
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
        if places.is_empty() {
            self.queues.remove(key);
        }
        for change in changes {
            // A watcher that does not keep up is dropped rather than waited for.
            self.watchers
                .retain(|(scope, watcher)| !scope.contains(key.as_str()) || watcher.try_send(change.clone()).is_ok());
        }
    }

    pub(super) fn session(&mut self, id: u64) -> Result<&mut Alive, Error> {
        let lapsed = || Error::lost("the session lapsed: it was not renewed within its TTL");
        self.sessions.get_mut(&id).ok_or_else(lapsed)
    }

    /// The entry's place, unless it has left.
    pub(super) fn find(&mut self, session: u64, entry: &Entry) -> Option<&mut Place> {
        self.find_any(session, entry).filter(|place| !place.left)
    }

    /// The entry's place, lapsing or not.
    fn find_any(&mut self, session: u64, entry: &Entry) -> Option<&mut Place> {
        let places = &mut self.queues.get_mut(&entry.key)?.places;
        places.iter_mut().find(|place| place.is_of(session, entry))
    }
}

impl Place {
    /// Of an entry that waits.
    fn new(session: u64, entry: &Entry) -> Self {
        Self {
            session,
            number: entry.number,
            holder: Arc::clone(&entry.holder),
            mode: entry.mode,
            fence: None,
            extended_until: None,
            uncovered_until: None,
            left: false,
        }
    }

    fn is_of(&self, session: u64, entry: &Entry) -> bool {
        (self.session, self.number) == (session, entry.number)
    }

    fn is_extended_at(&self, now: Moment) -> bool {
        self.extended_until.is_some_and(|until| until > now)
    }

    /// Whether it lapses by itself.
    fn is_timed(&self) -> bool {
        self.extended_until.is_some() || self.uncovered_until.is_some()
    }

    fn has_lapsed_at(&self, now: Moment) -> bool {
        self.uncovered_until.is_some_and(|until| until <= now)
    }
}
