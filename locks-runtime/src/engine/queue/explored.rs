//! The queue explored: every order of what can happen to four members, and long orders by chance.
//!
//! Each operation is one critical section of one mutex, or the end of one receiver, so that what threads could do to each
//! other is some order of these operations. A model says what each must show.

use super::*;
use crate::values::holder::Holder;
use crate::values::key::Key;
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
    /// The head did not take its turn in time.
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
    /// It is the head's, with something handed off or without.
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

/// What the queue must look like: who is in it, the head first, and what each member that has a position hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    queue: Vec<usize>,
    hears: Vec<Option<Hhears>>,
}

impl Model {
    fn new(members: usize) -> Self {
        Self { queue: Vec::new(), hears: vec![None; members] }
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
        if let Some(Hhears::Turn { .. }) = self.queue.first().and_then(|head| self.hears[*head]) {
            steps.push(Step::PassOver);
        }
        steps
    }

    fn pass_over(&mut self) {
        let head = self.queue.remove(0);
        self.hears[head] = Some(Hhears::Passed);
        self.notify_next(false);
    }

    /// The head of the queue is gone: the next one that listens is woken.
    fn notify_next(&mut self, handed_off: bool) {
        while let Some(next) = self.queue.first() {
            if let Some(hears @ Hhears::Nothing) = &mut self.hears[*next] {
                *hears = Hhears::Turn { handed_off };
                return;
            }
            self.queue.remove(0);
        }
    }

    /// What is handed off is with the next one now; `false` if it comes back.
    fn hand_off(&mut self, member: usize, fits: Fits) -> bool {
        if self.queue.first() != Some(&member) {
            return false;
        }
        while let Some(next) = self.queue.get(1).copied().filter(|next| fits.fits(*next)) {
            if self.hears[next] == Some(Hhears::Nothing) {
                self.queue.remove(0);
                self.notify_next(true);
                return true;
            }
            self.queue.remove(1);
        }
        false
    }

    fn leave(&mut self, member: usize) {
        self.hears[member] = None;
        if self.queue.first() == Some(&member) {
            self.queue.remove(0);
            self.notify_next(false);
        } else {
            self.queue.retain(|other| *other != member);
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
    fn new(members: usize) -> Self {
        let waiters = (0..members).map(|_| Waiter::default()).collect();
        let queues = Queues::new(World::here(), |position, held| drop((held, position)));
        Self { model: Model::new(members), queues, waiters, held: Arc::new(()) }
    }

    fn member(number: usize) -> Arc<Request> {
        let holder = Holder { version: 1, name: number.to_string().into(), ..Holder::default() };
        Arc::new(request(&key(), holder, &[]))
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
                let fits_member = |next: &Request| fits.fits(next.holder.name.parse().unwrap());
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
        let waiter = &mut self.waiters[member];
        *waiter = Waiter::default();
        match self.queues.join(&QueueName::Lock(key()), member as u64, &Self::member(member)).unwrap() {
            Joined::Head(position) => {
                assert!(self.model.queue.is_empty(), "first behind others");
                waiter.position = Some(position);
                self.model.hears[member] = Some(Hhears::Knows);
            }
            Joined::Behind(position, turn) => {
                assert!(!self.model.queue.is_empty(), "behind an empty queue");
                (waiter.position, waiter.turn) = (Some(position), Some(turn));
                self.model.hears[member] = Some(Hhears::Nothing);
                self.model.queue.push(member);
                // As its task does: it looks, and goes to sleep.
                return self.look(member);
            }
        }
        self.model.queue.push(member);
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

    /// Only the one whose turn it is was woken.
    fn expect_woken(&self, woken: &[usize]) {
        let head =
            self.model.queue.first().filter(|head| matches!(self.model.hears[**head], Some(Hhears::Turn { .. })));
        for member in woken {
            assert_eq!(Some(member), head, "woken without a turn");
        }
        if let Some(head) = head {
            assert!(self.waiters[*head].woken.0.load(Ordering::SeqCst), "a turn without waking {head}");
        }
    }

    fn compare(&self) {
        let head =
            self.queues.head(&QueueName::Lock(key())).map(|head| head.request.holder.name.parse::<usize>().unwrap());
        assert_eq!(head, self.model.queue.first().copied());
        assert_eq!(self.queues.is_empty(), self.model.queue.is_empty(), "an empty queue is kept");
        let handed_off =
            self.model.hears.iter().filter(|hears| matches!(hears, Some(Hhears::Turn { handed_off: true }))).count();
        assert_eq!(Arc::strong_count(&self.held), 1 + handed_off, "what was handed off has no owner");
    }
}

/// For the time by which a turn has to be taken, which passes only in steps.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn replayed(members: usize, path: &[Step]) -> Stage {
    let mut stage = Stage::new(members);
    for step in path {
        stage.take(*step);
    }
    stage
}

/// From every state that four members can be in, everything that can happen next.
#[test]
fn every_order_of_events() {
    let runtime = runtime();
    let _inside = runtime.enter();
    const MEMBERS: usize = 4;
    let mut known = HashSet::from([Model::new(MEMBERS)]);
    let mut open = VecDeque::from([Vec::new()]);
    let mut taken = 0;
    while let Some(path) = open.pop_front() {
        for step in replayed(MEMBERS, &path).model.steps() {
            let mut path = path.clone();
            path.push(step);
            taken += 1;
            let stage = std::panic::catch_unwind(|| replayed(MEMBERS, &path)).unwrap_or_else(|_| panic!("{path:?}"));
            if known.insert(stage.model) {
                open.push_back(path);
            }
        }
    }
    assert!(known.len() > 1000 && taken > 5000, "{} states and {taken} steps are too few", known.len());
}

proptest! {
    #[test]
    fn long_orders_by_chance(choices: Vec<prop::sample::Index>) {
        let runtime = runtime();
        let _inside = runtime.enter();
        let mut stage = Stage::new(7);
        for choice in choices {
            let steps = stage.model.steps();
            stage.take(*choice.get(&steps));
        }
        stage.waiters.clear();
        prop_assert!(stage.queues.is_empty());
        prop_assert_eq!(Arc::strong_count(&stage.held), 1);
    }
}
