//! The queue explored: every order of what can happen to four members of several modes, and long orders by chance.
//!
//! Each operation is one critical section of one mutex, or the end of one receiver, so that what threads could do to each
//! other is some order of these operations. A model says what each must show.

use super::*;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::options::Options;
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

/// What happens to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Join(usize),
    /// Looks whether its turn has come, as its task does when woken.
    Look(usize),
    /// Its receiver goes, as the first part of a dropped future does.
    StopListening(usize),
    /// Its position goes.
    Leave(usize),
    /// Hands off what it has, to whom it fits.
    HandOff(usize, Fits),
    /// Those at the head did not take their turns in time.
    PassOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    All,
    Odd,
    Nobody,
}

impl Fits {
    const EACH: [Self; 3] = [Self::All, Self::Odd, Self::Nobody];

    fn fits(self, member: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => member % 2 == 1,
            Self::Nobody => false,
        }
    }
}

/// What a member hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hhears {
    Nothing,
    /// It is at the head, with something handed off or without.
    Turn {
        handed_off: bool,
    },
    /// It knows that it is at the head.
    Knows,
    /// Its turn went to the next one, which it hears when it looks.
    Passed,
    /// It does not listen any more.
    Deaf,
}

/// What the queue must look like: who is at its head and who waits, in order, and what each member that has a position hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    modes: &'static [Mode],
    heads: Vec<usize>,
    waiting: Vec<usize>,
    hears: Vec<Option<Hhears>>,
}

impl Model {
    fn new(modes: &'static [Mode]) -> Self {
        Self { modes, heads: Vec::new(), waiting: Vec::new(), hears: vec![None; modes.len()] }
    }

    /// What can happen next.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (member, hears) in self.hears.iter().enumerate() {
            match hears {
                None => steps.push(Step::Join(member)),
                Some(Hhears::Nothing | Hhears::Turn { .. } | Hhears::Passed) => {
                    steps.extend([Step::Look(member), Step::StopListening(member), Step::Leave(member)]);
                }
                Some(Hhears::Knows) => {
                    steps.push(Step::Leave(member));
                    steps.extend(Fits::EACH.map(|fits| Step::HandOff(member, fits)));
                }
                Some(Hhears::Deaf) => steps.push(Step::Leave(member)),
            }
        }
        if !self.given().is_empty() {
            steps.push(Step::PassOver);
        }
        steps
    }

    /// Those at the head who have not taken their turns.
    fn given(&self) -> Vec<usize> {
        let is_given = |head: &usize| matches!(self.hears[*head], Some(Hhears::Turn { .. }));
        self.heads.iter().copied().filter(is_given).collect()
    }

    /// Whether this member would hold the lock behind those.
    fn would_hold(&self, member: usize, ahead: &[usize]) -> bool {
        self.modes[member].holds_behind(ahead.iter().map(|other| self.modes[*other]))
    }

    /// Returns whether it is at the head.
    fn join(&mut self, member: usize) -> bool {
        let is_head = self.would_hold(member, &[self.heads.as_slice(), &self.waiting].concat());
        if is_head {
            self.heads.push(member)
        } else {
            self.waiting.push(member)
        }
        is_head
    }

    fn pass_over(&mut self) {
        let mut passed = self.given();
        passed.iter().for_each(|member| self.hears[*member] = Some(Hhears::Passed));
        // As they came.
        passed.sort_by_key(|member| self.heads.iter().position(|head| head == member));
        for member in passed {
            self.heads.retain(|head| *head != member);
            self.let_move();
        }
    }

    /// Those who may be at the head now, and listen, are woken.
    fn let_move(&mut self) {
        while let Some(next) = self.waiting.first().copied().filter(|next| self.would_hold(*next, &self.heads)) {
            self.waiting.remove(0);
            if let Some(hears @ Hhears::Nothing) = &mut self.hears[next] {
                *hears = Hhears::Turn { handed_off: false };
                self.heads.push(next);
            }
        }
    }

    /// What is handed off is with the next one now; `false` if it comes back.
    fn hand_off(&mut self, member: usize, fits: Fits) -> bool {
        let Some(place) = self.heads.iter().position(|head| *head == member) else { return false };
        let fits = |next: usize| fits.fits(next) && self.modes[next] == self.modes[member];
        while let Some(next) = self.waiting.first().copied().filter(|next| fits(*next)) {
            self.waiting.remove(0);
            if self.hears[next] == Some(Hhears::Nothing) {
                self.hears[next] = Some(Hhears::Turn { handed_off: true });
                self.heads[place] = next;
                return true;
            }
        }
        false
    }

    fn leave(&mut self, member: usize) {
        self.hears[member] = None;
        let was = (self.heads.len(), self.waiting.len());
        self.heads.retain(|other| *other != member);
        self.waiting.retain(|other| *other != member);
        // One that was passed over is in no queue.
        if was != (self.heads.len(), self.waiting.len()) {
            self.let_move();
        }
    }
}

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
        let queues = Queues::new(World::here(), |position, held| drop((held, position)));
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
                self.model.hears[member] = Some(Hhears::Deaf);
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
                    stage.queues.pass_over_until(Moment::NEVER);
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
                self.model.hears[member] = Some(Hhears::Knows);
            }
            Joined::Behind(position, turn) => {
                assert!(!is_head, "behind those that it may be beside");
                (waiter.position, waiter.turn) = (Some(position), Some(turn));
                self.model.hears[member] = Some(Hhears::Nothing);
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
            (Poll::Pending, Some(Hhears::Nothing)) => {}
            (Poll::Ready(Err(Passed)), Some(Hhears::Passed)) => {
                (waiter.turn, waiter.position) = (None, None);
                self.model.hears[member] = None;
            }
            (Poll::Ready(Ok(held)), Some(Hhears::Turn { handed_off })) => {
                assert_eq!(held.is_some(), handed_off);
                waiter.turn = None;
                self.model.hears[member] = Some(Hhears::Knows);
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
            self.model.hears.iter().filter(|hears| matches!(hears, Some(Hhears::Turn { handed_off: true }))).count();
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
