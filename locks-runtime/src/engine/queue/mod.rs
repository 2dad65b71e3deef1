//! The queue of this process for each key: first in, first out, so that the process is in the store's queue once, or as often
//! as it may hold the lock at the same time.
//!
//! Who is at the head goes to the store. Others are there beside it where [`Mode`] lets them hold together. Whoever leaves the
//! head may hand off what it has there (a held entry, for which the next one then need not ask the store).
//!
//! It also sees what no store can: that a wait can never end because it depends on a hold of the waiting task itself; and
//! that a turn is not taken, because nobody polls the future whose turn it is.

mod census;
mod heads;
mod member;
mod passed;
mod search;
mod several;
mod single;
mod turn;
mod waits;

pub(crate) use member::{Cause, Member, Progress, QueueName, Stage};
pub(crate) use turn::{Passed, PassedOver, Turn};

use super::request::{PositionId, Request};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use single::Queue;
use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::ops::DerefMut;
use std::sync::{Arc, Weak};
use waits::Waits;

/// The queues of one client. `H` is what the one at the head may hand off to the next.
#[derive(Debug)]
pub(crate) struct Queues<H>(Arc<Shared<H>>);

#[derive(Debug)]
struct Shared<H> {
    state: Mutex<State<H>>,
    /// What is done about turns that nobody takes: nothing where there is no world.
    overseer: Option<Overseer<H>>,
}

/// What is done about turns that nobody takes.
#[derive(Debug)]
struct Overseer<H> {
    world: World,
    /// Begins to look after turns that were given.
    watch: fn(&World, Weak<Shared<H>>),
    /// Gets the position, which leaves the head when it is dropped, and what was handed off.
    pass_over: fn(Position<H>, Option<H>, PassedOver),
}

#[derive(Debug)]
struct State<H> {
    queues: HashMap<QueueName, Queue<H>>,
    waits: Waits,
    arrivals: u64,
    /// The queues in which a turn was given that may not have been taken: nobody looks at the others.
    given: BTreeSet<QueueName>,
    /// Whether a background task looks after turns that were given.
    is_watched: bool,
}

/// A position in a queue, or in several; dropping it gives the position up and lets the next one move.
#[derive(Debug)]
pub(crate) struct Position<H> {
    queues: Queues<H>,
    member: Arc<Member>,
}

/// How [`Queues::join`] went.
#[derive(Debug)]
pub(crate) enum Joined<H> {
    /// At the head: go to the store.
    Head(Position<H>),
    /// Behind others: the turn comes when the head is reached, with what was handed off there.
    Behind(Position<H>, Turn<H>),
}

impl<H> Default for Queues<H> {
    fn default() -> Self {
        Self::overseen_by(None)
    }
}

impl<H> Clone for Queues<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Send + 'static> Queues<H> {
    /// Queues whose turns go to the next one when nobody takes them: a future that is not polled blocks no others.
    pub(crate) fn new(world: World, pass_over: fn(Position<H>, Option<H>, PassedOver)) -> Self {
        let watch = |world: &World, shared| world.spawn(look_after(world.clone(), shared));
        Self::overseen_by(Some(Overseer { world, watch, pass_over }))
    }
}

/// Looks after the turns that were given until none is left.
async fn look_after<H: Send + 'static>(world: World, shared: Weak<Shared<H>>) {
    loop {
        let Some(queues) = shared.upgrade().map(Queues) else { return };
        let Some(next) = queues.pass_over_until(world.now(), PassedOver::Unclaimed) else { return };
        drop(queues);
        tokio::time::sleep(next.since(world.now())).await;
    }
}

impl<H> Queues<H> {
    fn overseen_by(overseer: Option<Overseer<H>>) -> Self {
        let state = State {
            queues: HashMap::new(),
            waits: Waits::default(),
            arrivals: 0,
            given: BTreeSet::new(),
            is_watched: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), overseer }))
    }

    /// Takes the last position in the queue, or the head where there is no queue.
    ///
    /// # Errors
    ///
    /// `Busy` if more wait than `request` allows. `Deadlock` if the head of the queue waits, directly or through others of this
    /// process, for a hold that `request` is under, and `request` has no limit.
    pub(crate) fn join(&self, name: &QueueName, id: PositionId, request: &Arc<Request>) -> Result<Joined<H>, Error> {
        let mut locked = self.0.state.lock();
        let State { queues, waits, arrivals, .. } = &mut *locked;
        *arrivals += 1;
        let member = Member::new(id, request, name.clone(), *arrivals);
        let position = |member| Position { queues: self.clone(), member };
        if member.others.is_empty() {
            let queue = match queues.entry(name.clone()) {
                Entry::Vacant(none) => none.insert(Queue::new()),
                Entry::Occupied(queue) => queue.into_mut(),
            };
            if queue.members.let_hold(member.mode()) {
                queue.push_head(&member);
                return Ok(Joined::Head(position(member)));
            }
        } else if several::begin_at_head(queues, &member) {
            return Ok(Joined::Head(position(member)));
        }
        if let Some(most) = request.options.max_waiting {
            let mut queues = member.names().filter_map(|name| queues.get(name));
            if let Some(full) = queues.find(|queue| queue.count_waiting() >= most as usize) {
                return Err(full.is_full(most));
            }
        }
        let (giver, turn) = turn::turn();
        if !request.under.is_empty()
            && let Some(way) = search::circle(waits, member.names(), request, |name| queues.get(name))
        {
            return Err(search::deadlock(request, &search::steps(queues, &way)));
        }
        waits.begin(&member);
        for name in member.names() {
            queues.entry(name.clone()).or_insert_with(Queue::new).push_waiting(&member, giver.clone());
        }
        Ok(Joined::Behind(position(member), turn))
    }

    /// Joins before all others, for what holds the lock in the store already: who is in this queue waits behind it there.
    pub(crate) fn join_first(&self, key: &Key, id: PositionId, request: &Arc<Request>) -> Position<H> {
        let mut state = self.0.state.lock();
        state.arrivals += 1;
        let name = QueueName::Lock(key.clone());
        let member = Member::new(id, request, name.clone(), state.arrivals);
        state.queues.entry(name).or_insert_with(Queue::new).push_first(&member);
        Position { queues: self.clone(), member }
    }

    /// Takes `member` out of these of its queues, as far as it is there, and lets those move whose turn it is then.
    fn leave<'a, N: Iterator<Item = &'a QueueName> + Clone>(&self, member: &Member, names: N) {
        let mut locked = self.0.state.lock();
        let State { queues, waits, given, .. } = &mut *locked;
        let (mut was_there, mut is_waiting, mut is_given) = (false, false, false);
        for name in names.clone() {
            let Some(queue) = queues.get_mut(name) else { continue };
            let was_waiting = queue.remove_waiting(member).is_some();
            if was_waiting || queue.heads.remove(member.id) {
                was_there = true;
                is_waiting |= was_waiting;
                queue.members.remove(member.mode());
            }
        }
        if !was_there {
            return;
        }
        if is_waiting {
            waits.end(member);
        }
        for name in names {
            let Some(queue) = queues.get_mut(name) else { continue };
            if queue.of_several > 0 {
                let due = |next: &Member| self.due(next);
                for name in several::let_move(queues, waits, (name, member), due) {
                    self.note_given(given, &name);
                    is_given = true;
                }
            } else if queue.let_move(waits, member, |next| self.due(next)) {
                self.note_given(given, name);
                is_given = true;
            }
            if queues.get(name).is_some_and(Queue::is_empty) {
                queues.remove(name);
            }
        }
        if is_given {
            self.watch(locked);
        }
    }

    fn hand_off(&self, member: &Member, held: H, fits: impl Fn(&Request) -> bool) -> Option<H> {
        let mut held = Some(held);
        let mut locked = self.0.state.lock();
        let State { queues, waits, given, .. } = &mut *locked;
        let Some(queue) = queues.get_mut(&member.name).filter(|queue| queue.heads.has(member.id)) else { return held };
        while queue.waiting.first_key_value().is_some_and(|(_, (next, _))| fits(&next.request)) {
            let Some((_, (next, giver))) = queue.waiting.pop_first() else { break };
            waits.end(&next);
            let stage = member.progress().stage;
            next.change(|progress| progress.stage = stage);
            match giver.give(held) {
                Ok(()) => {
                    let turn = self.due(&next).map(|due| (giver, due));
                    queue.members.remove(member.mode());
                    queue.heads.replace(member.id, next, turn);
                    self.note_given(given, &member.name);
                    self.watch(locked);
                    member.has_changed();
                    return None;
                }
                // That waiter has gone.
                Err(back) => {
                    queue.members.remove(next.mode());
                    held = back;
                }
            }
        }
        held
    }

    /// Until when the turn that is given now has to be taken.
    fn due(&self, member: &Member) -> Option<Moment> {
        self.0.overseer.as_ref().map(|overseer| overseer.world.now() + member.request.unclaimed_limit())
    }

    /// Notes a queue in which a turn was given that somebody looks after. One with many turns in a row is noted already.
    fn note_given(&self, given: &mut BTreeSet<QueueName>, name: &QueueName) {
        if self.0.overseer.is_some() && !given.contains(name) {
            given.insert(name.clone());
        }
    }

    /// Has the turns that were given looked after. The lock is released first.
    fn watch(&self, mut locked: impl DerefMut<Target = State<H>>) {
        let Some(overseer) = &self.0.overseer else { return };
        let is_watched = std::mem::replace(&mut locked.is_watched, true);
        drop(locked);
        if !is_watched {
            (overseer.watch)(&overseer.world, Arc::downgrade(&self.0));
        }
    }

    /// How many queues were looked at for circles.
    #[cfg(test)]
    fn looks(&self) -> u64 {
        self.0.state.lock().waits.looks.get()
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        let state = self.0.state.lock();
        state.queues.is_empty() && state.waits.is_empty()
    }
}

/// The queues of a client that may be gone.
#[derive(Debug)]
pub(crate) struct WeakQueues<H>(Weak<Shared<H>>);

impl<H> WeakQueues<H> {
    pub(crate) fn upgrade(&self) -> Option<Queues<H>> {
        self.0.upgrade().map(Queues)
    }
}

impl<H> Queues<H> {
    pub(crate) fn downgrade(&self) -> WeakQueues<H> {
        WeakQueues(Arc::downgrade(&self.0))
    }

    /// All that are at the head of the queue.
    pub(crate) fn heads(&self, name: &QueueName) -> Vec<Arc<Member>> {
        let state = self.0.state.lock();
        let heads = state.queues.get(name).into_iter().flat_map(|queue| queue.heads.iter());
        heads.map(|head| Arc::clone(&head.member)).collect()
    }

    /// Who is at the head of the queue, if there is one: of several, one that holds the lock.
    pub(crate) fn head(&self, name: &QueueName) -> Option<Arc<Member>> {
        self.0.state.lock().queues.get(name).and_then(Queue::head).cloned()
    }
}

impl<H> Position<H> {
    pub(crate) fn id(&self) -> PositionId {
        self.member.id
    }

    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.member.request
    }

    pub(crate) fn progress(&self) -> Progress {
        self.member.progress()
    }

    /// Who is at the head of its queue: of several, of one that keeps it waiting.
    pub(crate) fn head(&self) -> Option<Arc<Member>> {
        match self.member.others.is_empty() {
            true => self.queues.head(&self.member.name),
            false => several::in_the_way(&self.queues.0.state.lock().queues, &self.member).cloned(),
        }
    }

    /// Whether it is in the queue of a body, which has its lock: nobody else waits for that turn.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.member.name, QueueName::Body(_))
    }

    /// At the head: hands `held`, and the head, off to the next one if it fits. Returns it if none fits.
    pub(crate) fn hand_off(&self, held: H, fits: impl Fn(&Request) -> bool) -> Option<H> {
        self.queues.hand_off(&self.member, held, fits)
    }

    /// A body, or a guard, has it from now on.
    pub(crate) fn begins(&self) {
        self.member.begins();
    }

    /// The store is asked from `now` on.
    pub(crate) fn asks(&self, now: Moment) {
        self.member.change(|progress| {
            progress.stage = Stage::Asking;
            progress.unanswered.get_or_insert(now);
        });
    }

    /// The store did not do what it was asked.
    pub(crate) fn fails(&self, error: &Error) {
        self.member.change(|progress| progress.cause = Some(Cause::of(error)));
    }

    /// The store has answered: the entry is at this stage.
    pub(crate) fn answered(&self, stage: Stage) {
        self.member.change(|progress| *progress = Progress { stage, ..Progress::default() });
    }

    /// The entry is out of those locks' queues in the store, and not of the others': who waits here for one of them need not wait on.
    pub(crate) fn leaves_some(&self, has_left: impl Fn(&Key) -> bool) {
        let is_left = |name: &&QueueName| matches!(name, QueueName::Lock(key) if has_left(key));
        self.queues.leave(&self.member, self.member.names().filter(is_left));
    }

    /// The entry is on its way out of the store from `now` on.
    pub(crate) fn leaves(&self, now: Moment) {
        self.member.change(|progress| {
            progress.stage = Stage::Leaving;
            progress.unanswered.get_or_insert(now);
        });
    }
}

impl<H> Drop for Position<H> {
    fn drop(&mut self) {
        self.queues.leave(&self.member, self.member.names());
        self.member.note_left();
    }
}

#[cfg(test)]
mod circles;
#[cfg(test)]
mod explored;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
