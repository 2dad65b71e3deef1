//! The queue explored: every order of what can happen to four members of several modes, and long orders by chance.
//!
//! Each operation is one critical section of one mutex, or the end of one receiver, so that what threads could do to each
//! other is some order of these operations. A model says what each must show.

use super::model::{Hears, Model, Step};
use super::*;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::options::Options;
use crate::world::clock::Moment;
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A member as the code has it.
#[derive(Debug, Default)]
struct Waiter {
    position: Option<Position<Arc<()>>>,
    turn: Option<Turn<Arc<()>>>,
    woken: Arc<Woken>,
}

/// The real queue beside its model.
struct Stage {
    model: Model,
    queues: Queues<Arc<()>>,
    waiters: Vec<Waiter>,
    /// What is handed off; it must never be forgotten anywhere.
    held: Arc<()>,
}

fn key() -> Key {
    Key::new("k").unwrap()
}

pub(super) fn request(key: &Key, holder: Holder, under: &[PositionId]) -> Request {
    Request {
        begun: Moment::from_nanos(0),
        others: Box::default(),
        key: key.clone(),
        options: Options::default(),
        ttl: Duration::from_secs(10),
        holder: holder.into(),
        template: "",
        under: under.to_vec(),
    }
}

impl Stage {
    fn new(modes: &'static [Mode]) -> Self {
        let waiters = modes.iter().map(|_| Waiter::default()).collect();
        let queues = Queues::new(World::here(), |position, held, _| drop((held, position)));
        Self { model: Model::new(modes), queues, waiters, held: Arc::new(()) }
    }

    fn member(&self, number: usize) -> Arc<Request> {
        let holder = Holder { version: 1, name: number.to_string().into(), ..Holder::default() };
        let mut request = request(&key(), holder, &[]);
        request.options.mode = self.model.modes[number];
        Arc::new(request)
    }

    /// Does the same to both, and compares what is to be seen.
    fn take(&mut self, step: Step) {
        match step {
            Step::Join(member) => self.join(member),
            Step::Look(member) => self.look(member),
            Step::StopListening(member) => {
                self.waiters[member].turn = None;
                self.model.hears[member] = Some(Hears::Deaf);
            }
            Step::Leave(member) => {
                let mut woken = self.woken_by(|stage| stage.waiters[member].position = None);
                // Its own channel ends with its position, which wakes only itself.
                woken.retain(|other| *other != member);
                self.waiters[member].turn = None;
                self.model.leave(member);
                self.expect_woken(&woken);
            }
            Step::PassOver => {
                let woken = self.woken_by(|stage| {
                    stage.queues.pass_over_all();
                });
                self.model.pass_over();
                self.expect_woken(&woken);
            }
            Step::HandOff(member, fits) => {
                let held = Arc::clone(&self.held);
                let mode = self.model.modes[member];
                let fits_member =
                    |next: &Request| fits.fits(next.holder.name.parse().unwrap()) && next.options.mode == mode;
                let mut back = None;
                let woken = self.woken_by(|stage| {
                    back = stage.waiters[member].position.as_ref().unwrap().hand_off(held, fits_member);
                });
                assert_eq!(back.is_none(), self.model.hand_off(member, fits));
                self.expect_woken(&woken);
            }
        }
        self.compare();
    }

    fn join(&mut self, member: usize) {
        let request = self.member(member);
        let waiter = &mut self.waiters[member];
        *waiter = Waiter::default();
        let is_head = self.model.join(member);
        match self.queues.join(&QueueName::Lock(key()), member as u64, &request).unwrap() {
            Joined::Head(position) => {
                assert!(is_head, "at the head behind others");
                waiter.position = Some(position);
                self.model.hears[member] = Some(Hears::Knows);
            }
            Joined::Behind(position, turn) => {
                assert!(!is_head, "behind those that it may be beside");
                (waiter.position, waiter.turn) = (Some(position), Some(turn));
                self.model.hears[member] = Some(Hears::Nothing);
                // As its task does: it looks, and goes to sleep.
                self.look(member);
            }
        }
    }

    fn look(&mut self, member: usize) {
        let waiter = &mut self.waiters[member];
        let waker = Arc::clone(&waiter.woken).into();
        let turn = waiter.turn.as_mut().unwrap();
        let heard = Pin::new(turn).poll(&mut Context::from_waker(&waker));
        match (heard, self.model.hears[member]) {
            (Poll::Pending, Some(Hears::Nothing)) => {}
            (Poll::Ready(Err(Passed)), Some(Hears::Passed)) => {
                (waiter.turn, waiter.position) = (None, None);
                self.model.hears[member] = None;
            }
            (Poll::Ready(Ok(held)), Some(Hears::Turn { handed_off })) => {
                assert_eq!(held.is_some(), handed_off);
                waiter.turn = None;
                self.model.hears[member] = Some(Hears::Knows);
            }
            (heard, expected) => panic!("{member} heard {heard:?} instead of {expected:?}"),
        }
    }

    /// Who is woken by `work`.
    fn woken_by(&mut self, work: impl FnOnce(&mut Self)) -> Vec<usize> {
        let before: Vec<bool> = self.waiters.iter().map(|one| one.woken.0.load(Ordering::SeqCst)).collect();
        work(self);
        let is_new = |member: &usize| self.waiters[*member].woken.0.load(Ordering::SeqCst) && !before[*member];
        (0..self.waiters.len()).filter(is_new).collect()
    }

    /// Only those whose turn it is were woken.
    fn expect_woken(&self, woken: &[usize]) {
        let given = self.model.given();
        for member in woken {
            assert!(given.contains(member), "{member} was woken without a turn");
        }
        for head in given {
            assert!(self.waiters[head].woken.0.load(Ordering::SeqCst), "a turn without waking {head}");
        }
    }

    fn compare(&self) {
        let number = |head: &Arc<Member>| head.request.holder.name.parse::<usize>().unwrap();
        let queues = self.queues.0.state.lock();
        let queue = queues.queues.get(&QueueName::Lock(key()));
        let heads: Vec<usize> =
            queue.iter().flat_map(|queue| queue.heads.iter()).map(|head| number(&head.member)).collect();
        let waiting: Vec<usize> =
            queue.iter().flat_map(|queue| queue.waiting.values()).map(|(waiter, _)| number(waiter)).collect();
        assert_eq!((&heads, &waiting), (&self.model.heads, &self.model.waiting));
        assert_eq!(queue.is_none(), heads.is_empty(), "an empty queue is kept");
        let handed_off =
            self.model.hears.iter().filter(|hears| matches!(hears, Some(Hears::Turn { handed_off: true }))).count();
        assert_eq!(Arc::strong_count(&self.held), 1 + handed_off, "what was handed off has no owner");
    }
}

/// For the time by which a turn has to be taken, which passes only in steps.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn replayed(modes: &'static [Mode], path: &[Step]) -> Stage {
    let mut stage = Stage::new(modes);
    for step in path {
        stage.take(*step);
    }
    stage
}

/// From every state that these members can be in, everything that can happen next.
fn every_order(modes: &'static [Mode]) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut known = HashSet::from([Model::new(modes)]);
    let mut open = VecDeque::from([Vec::new()]);
    let mut taken = 0;
    while let Some(path) = open.pop_front() {
        for step in replayed(modes, &path).model.steps() {
            let mut path = path.clone();
            path.push(step);
            taken += 1;
            let stage = std::panic::catch_unwind(|| replayed(modes, &path)).unwrap_or_else(|_| panic!("{path:?}"));
            if known.insert(stage.model) {
                open.push_back(path);
            }
        }
    }
    assert!(known.len() > 1000 && taken > 5000, "{} states and {taken} steps are too few", known.len());
}

const EXCLUSIVE: [Mode; 4] = [Mode::Exclusive; 4];
const READERS_AND_WRITERS: [Mode; 4] = [Mode::Shared, Mode::Shared, Mode::Exclusive, Mode::Shared];
const PERMITS: [Mode; 4] = [Mode::Permits(2), Mode::Permits(2), Mode::Permits(3), Mode::Exclusive];
const OF_EACH_KIND: [Mode; 8] = [
    Mode::Shared,
    Mode::Exclusive,
    Mode::Permits(2),
    Mode::Shared,
    Mode::Permits(2),
    Mode::Shared,
    Mode::Permits(1),
    Mode::Exclusive,
];

#[test]
fn every_order_of_events() {
    every_order(&EXCLUSIVE);
}

#[test]
fn every_order_of_events_of_readers_and_writers() {
    every_order(&READERS_AND_WRITERS);
}

#[test]
fn every_order_of_events_of_permits() {
    every_order(&PERMITS);
}

proptest! {
    #[test]
    fn long_orders_by_chance(choices: Vec<prop::sample::Index>) {
        let runtime = runtime();
        let _inside = runtime.enter();
        let mut stage = Stage::new(&OF_EACH_KIND);
        for choice in choices {
            let steps = stage.model.steps();
            stage.take(*choice.get(&steps));
        }
        stage.waiters.clear();
        prop_assert!(stage.queues.is_empty());
        prop_assert_eq!(Arc::strong_count(&stage.held), 1);
    }
}
