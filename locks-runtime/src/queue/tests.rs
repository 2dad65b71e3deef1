//! The line explored: every order of what can happen to four parties, and long orders by chance.
//!
//! Each operation is one critical section of one mutex, or the end of one receiver, so that what threads could do to each
//! other is some order of these operations. A model says what each must show.

use super::*;
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

/// What happens to one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Stand(usize),
    TryStand(usize),
    /// Looks whether its turn has come, as its task does when woken.
    Look(usize),
    /// Its receiver goes, as the first part of a dropped future does.
    StopListening(usize),
    /// Its place goes.
    Leave(usize),
    /// Passes on what it has, to whom it fits.
    HandOn(usize, Fits),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    All,
    Odd,
    Nobody,
}

impl Fits {
    const EACH: [Self; 3] = [Self::All, Self::Odd, Self::Nobody];

    fn fits(self, party: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => party % 2 == 1,
            Self::Nobody => false,
        }
    }
}

/// What a party hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ear {
    Nothing,
    /// It is the head's, with something passed on or without.
    Turn {
        passed_on: bool,
    },
    /// It knows that it is at the head.
    Knows,
    /// It does not listen any more.
    Deaf,
}

/// What the line must look like: who stands in it, the head first, and what each party that has a place hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    line: Vec<usize>,
    ears: Vec<Option<Ear>>,
}

impl Model {
    fn new(parties: usize) -> Self {
        Self { line: Vec::new(), ears: vec![None; parties] }
    }

    /// What can happen next.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (party, ear) in self.ears.iter().enumerate() {
            match ear {
                None => steps.extend([Step::Stand(party), Step::TryStand(party)]),
                Some(Ear::Nothing | Ear::Turn { .. }) => {
                    steps.extend([Step::Look(party), Step::StopListening(party), Step::Leave(party)]);
                }
                Some(Ear::Knows) => {
                    steps.push(Step::Leave(party));
                    steps.extend(Fits::EACH.map(|fits| Step::HandOn(party, fits)));
                }
                Some(Ear::Deaf) => steps.push(Step::Leave(party)),
            }
        }
        steps
    }

    /// The first of the line is gone: whoever comes next and listens is told.
    fn tell_next(&mut self, passed_on: bool) {
        while let Some(next) = self.line.first() {
            if let Some(ear @ Ear::Nothing) = &mut self.ears[*next] {
                *ear = Ear::Turn { passed_on };
                return;
            }
            self.line.remove(0);
        }
    }

    /// What is handed on is with the next one now; `false` if it comes back.
    fn hand_on(&mut self, party: usize, fits: Fits) -> bool {
        if self.line.first() != Some(&party) {
            return false;
        }
        while let Some(next) = self.line.get(1).copied().filter(|next| fits.fits(*next)) {
            if self.ears[next] == Some(Ear::Nothing) {
                self.line.remove(0);
                self.tell_next(true);
                return true;
            }
            self.line.remove(1);
        }
        false
    }

    fn leave(&mut self, party: usize) {
        self.ears[party] = None;
        if self.line.first() == Some(&party) {
            self.line.remove(0);
            self.tell_next(false);
        } else {
            self.line.retain(|other| *other != party);
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

type Turn = oneshot::Receiver<Option<Arc<()>>>;

/// A party as the code has it.
#[derive(Debug, Default)]
struct Stander {
    place: Option<Place<Arc<()>>>,
    turn: Option<Turn>,
    woken: Arc<Woken>,
}

/// The real line beside its model.
struct Stage {
    model: Model,
    lines: Lines<Arc<()>>,
    standers: Vec<Stander>,
    /// What is passed on; it must never be forgotten anywhere.
    baton: Arc<()>,
}

fn key() -> Key {
    Key::new("k").unwrap()
}

impl Stage {
    fn new(parties: usize) -> Self {
        let standers = (0..parties).map(|_| Stander::default()).collect();
        Self { model: Model::new(parties), lines: Lines::default(), standers, baton: Arc::new(()) }
    }

    fn party(number: usize) -> Party {
        let holder = Holder { version: 1, name: number.to_string().into(), ..Holder::default() };
        Party { under: Vec::new(), holder: holder.into(), takes_over: Some(Duration::from_secs(number as u64)) }
    }

    /// Does the same to both, and compares what is to be seen.
    fn take(&mut self, step: Step) {
        match step {
            Step::Stand(party) => self.stand(party),
            Step::TryStand(party) => {
                let place = self.lines.try_stand(&key(), party as u64, Self::party(party));
                assert_eq!(place.is_ok(), self.model.line.is_empty());
                if let Ok(place) = place {
                    self.standers[party].place = Some(place);
                    self.model.line.push(party);
                    self.model.ears[party] = Some(Ear::Knows);
                }
            }
            Step::Look(party) => self.look(party),
            Step::StopListening(party) => {
                self.standers[party].turn = None;
                self.model.ears[party] = Some(Ear::Deaf);
            }
            Step::Leave(party) => {
                let mut told = self.told_by(|stage| stage.standers[party].place = None);
                // Its own channel ends with its place, which wakes nobody but itself.
                told.retain(|other| *other != party);
                self.standers[party].turn = None;
                self.model.leave(party);
                self.expect_told(&told);
            }
            Step::HandOn(party, fits) => {
                let baton = Arc::clone(&self.baton);
                let fits_party = |next: &Party| fits.fits(next.holder.name.parse().unwrap());
                let mut back = None;
                let told = self.told_by(|stage| {
                    back = stage.standers[party].place.as_ref().unwrap().hand_on(baton, fits_party);
                });
                assert_eq!(back.is_none(), self.model.hand_on(party, fits));
                self.expect_told(&told);
            }
        }
        self.compare();
    }

    fn stand(&mut self, party: usize) {
        let stander = &mut self.standers[party];
        *stander = Stander::default();
        match self.lines.stand(&key(), party as u64, Self::party(party)).unwrap() {
            Stood::First(place) => {
                assert!(self.model.line.is_empty(), "first behind others");
                stander.place = Some(place);
                self.model.ears[party] = Some(Ear::Knows);
            }
            Stood::Behind(place, turn) => {
                assert!(!self.model.line.is_empty(), "behind nobody");
                (stander.place, stander.turn) = (Some(place), Some(turn));
                self.model.ears[party] = Some(Ear::Nothing);
                self.model.line.push(party);
                // As its task does: it looks, and goes to sleep.
                return self.look(party);
            }
        }
        self.model.line.push(party);
    }

    fn look(&mut self, party: usize) {
        let stander = &mut self.standers[party];
        let waker = Arc::clone(&stander.woken).into();
        let turn = stander.turn.as_mut().unwrap();
        let heard = Pin::new(turn).poll(&mut Context::from_waker(&waker));
        match (heard, self.model.ears[party]) {
            (Poll::Pending, Some(Ear::Nothing)) => {}
            (Poll::Ready(Ok(baton)), Some(Ear::Turn { passed_on })) => {
                assert_eq!(baton.is_some(), passed_on);
                stander.turn = None;
                self.model.ears[party] = Some(Ear::Knows);
            }
            (heard, expected) => panic!("{party} heard {heard:?} instead of {expected:?}"),
        }
    }

    /// Who is woken by `work`.
    fn told_by(&mut self, work: impl FnOnce(&mut Self)) -> Vec<usize> {
        let before: Vec<bool> = self.standers.iter().map(|one| one.woken.0.load(Ordering::SeqCst)).collect();
        work(self);
        let is_new = |party: &usize| self.standers[*party].woken.0.load(Ordering::SeqCst) && !before[*party];
        (0..self.standers.len()).filter(is_new).collect()
    }

    /// The one who was told, and nobody else, was woken.
    fn expect_told(&self, told: &[usize]) {
        let head = self.model.line.first().filter(|head| matches!(self.model.ears[**head], Some(Ear::Turn { .. })));
        for party in told {
            assert_eq!(Some(party), head, "woken without a turn");
        }
        if let Some(head) = head {
            assert!(self.standers[*head].woken.0.load(Ordering::SeqCst), "a turn without waking {head}");
        }
    }

    fn compare(&self) {
        let head = self.lines.head(&key()).map(|holder| holder.name.parse::<usize>().unwrap());
        assert_eq!(head, self.model.line.first().copied());
        assert_eq!(self.lines.lock().is_empty(), self.model.line.is_empty(), "a line that nobody stands in");
        let passed_on = self.model.ears.iter().filter(|ear| matches!(ear, Some(Ear::Turn { passed_on: true }))).count();
        assert_eq!(Arc::strong_count(&self.baton), 1 + passed_on, "what was passed on is with nobody");
    }
}

fn replayed(parties: usize, path: &[Step]) -> Stage {
    let mut stage = Stage::new(parties);
    for step in path {
        stage.take(*step);
    }
    stage
}

/// From every state that four parties can be in, everything that can happen next.
#[test]
fn every_order_of_events() {
    const PARTIES: usize = 4;
    let mut known = HashSet::from([Model::new(PARTIES)]);
    let mut open = VecDeque::from([Vec::new()]);
    let mut taken = 0;
    while let Some(path) = open.pop_front() {
        for step in replayed(PARTIES, &path).model.steps() {
            let mut path = path.clone();
            path.push(step);
            taken += 1;
            let stage = std::panic::catch_unwind(|| replayed(PARTIES, &path)).unwrap_or_else(|_| panic!("{path:?}"));
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
        let mut stage = Stage::new(7);
        for choice in choices {
            let steps = stage.model.steps();
            stage.take(*choice.get(&steps));
        }
        stage.standers.clear();
        prop_assert!(stage.lines.lock().is_empty());
        prop_assert_eq!(Arc::strong_count(&stage.baton), 1);
    }
}

/// Tasks that hold and wait, for the deadlock check: a hold ends once nobody who runs under it waits.
#[derive(Debug, Default)]
struct Tasks {
    /// For each key the members, the holder first: who it is, and the holds it runs under.
    lines: [VecDeque<(PlaceId, Vec<PlaceId>)>; 4],
}

impl Tasks {
    /// Whether everybody gets what it waits for, if bodies end as soon as they can.
    fn all_end(&self) -> bool {
        let mut lines = self.lines.clone();
        loop {
            let waiting: Vec<PlaceId> =
                lines.iter().flat_map(|line| line.iter().skip(1)).flat_map(|(_, under)| under.clone()).collect();
            let over = lines.iter_mut().find(|line| line.front().is_some_and(|(id, _)| !waiting.contains(id)));
            match over {
                Some(line) => drop(line.pop_front()),
                None => return lines.iter().all(VecDeque::is_empty),
            }
        }
    }
}

proptest! {
    /// Somebody asks for one of four locks, under some of the holds there are, or a holder goes.
    #[test]
    fn what_would_never_end_is_refused_and_nothing_else(asked in prop::collection::vec((0..4_usize, 0..16_u8, 0..5_u8), 1..25)) {
        let (lines, mut tasks, mut places) = (Lines::<()>::default(), Tasks::default(), HashMap::new());
        for (id, (wanted, under, goes)) in (1..).zip(asked) {
            let key = Key::new(wanted.to_string()).unwrap();
            if goes == 0 {
                if let Some((holder, _)) = tasks.lines[wanted].pop_front() {
                    places.remove(&holder);
                }
                continue;
            }
            let holders = tasks.lines.iter().enumerate().filter(|(line, _)| under >> line & 1 == 1);
            let under: Vec<PlaceId> = holders.filter_map(|(_, line)| Some(line.front()?.0)).collect();
            let party = Party { under: under.clone(), holder: Holder::default().into(), takes_over: None };
            let stood = lines.stand(&key, id, party);
            tasks.lines[wanted].push_back((id, under));
            prop_assert_eq!(stood.is_ok(), tasks.all_end(), "{:?} with {} last at {}", tasks, id, wanted);
            match stood {
                Ok(stood) => drop(places.insert(id, stood)),
                Err(_) => drop(tasks.lines[wanted].pop_back()),
            }
        }
        places.clear();
        prop_assert!(lines.lock().is_empty());
    }
}
