//! A store of one lock behind a network that loses, delays and doubles what is sent, with a clock of its own.
//!
//! What is under way arrives at its time whether the client gets a turn or not, as it does when a process is paused: the
//! store is brought up to date whenever anybody looks at it, arrival by arrival and lapse by lapse.

use locks_runtime::store::{Entered, Grant, Pending, WhenBusy};
use locks_runtime::{Error, ErrorKind, Holder};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It arrives after `there`, maybe once more after `again`, and the answer takes `back`.
    Answered { there: Duration, again: Option<Duration>, back: Duration },
    /// It arrives after `there`, and its answer is lost: the client gives it up after `limit`.
    Unanswered { there: Duration, limit: Duration },
    /// It is lost: the client gives it up after `limit`.
    Lost { limit: Duration },
    /// The connection is refused.
    Refused,
}

impl Fate {
    pub(crate) const GOOD: Self =
        Self::Answered { there: Duration::from_millis(1), again: None, back: Duration::from_millis(1) };
}

/// The store, as all its clients share it.
#[derive(Clone, Debug)]
pub(crate) struct NetworkStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Rung when something is sent or has arrived.
    changed: Notify,
}

#[derive(Debug)]
struct World {
    /// How many of the store's milliseconds pass in a thousand of ours.
    pace: u32,
    /// What will become of the next requests.
    fates: VecDeque<Fate>,
    /// And then of all others.
    then: Fate,
    /// Under way, by the time at which each arrives.
    mail: BTreeMap<(Instant, u64), (u64, Message)>,
    answers: HashMap<u64, Result<Answer, ErrorKind>>,
    sent: u64,
    sessions: HashMap<u64, Alive>,
    /// First in line first; the first one holds.
    line: VecDeque<Standing>,
    /// Entries that left. A copy of the request that put one in line is refused, as real stores see to in their own ways.
    left: HashSet<(u64, u64)>,
    counter: u64,
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    ttl: Duration,
    until: Instant,
}

#[derive(Debug)]
struct Standing {
    session: u64,
    number: u64,
    holder: Arc<Holder>,
    held: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    Open { id: u64, ttl: Duration },
    Renew { id: u64 },
    Enter { id: u64, number: u64, holder: Arc<Holder>, when_busy: WhenBusy },
    Leave { id: u64, number: u64 },
    Close { id: u64 },
    Inspect,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done,
    Entered(Entered),
    Holders(Vec<Holder>),
}

impl NetworkStore {
    /// An empty store whose clock goes at `pace`: 1010 of its milliseconds in a thousand of ours, say.
    pub(crate) fn new(pace: u32) -> Self {
        let world = World {
            pace,
            fates: VecDeque::new(),
            then: Fate::GOOD,
            mail: BTreeMap::new(),
            answers: HashMap::new(),
            sent: 0,
            sessions: HashMap::new(),
            line: VecDeque::new(),
            left: HashSet::new(),
            counter: 0,
        };
        Self(Arc::new(Shared { world: Mutex::new(world), changed: Notify::new() }))
    }

    /// What becomes of the next requests, and of all later ones.
    pub(crate) fn foretell(&self, fates: impl IntoIterator<Item = Fate>, then: Fate) {
        let mut world = self.world();
        world.fates = fates.into_iter().collect();
        world.then = then;
    }

    /// The fencing number of whoever holds the lock now, by the store's own clock.
    pub(crate) fn holds(&self) -> Option<u64> {
        self.world().line.front().and_then(|first| first.held)
    }

    /// When something arrives or lapses next.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        self.world().next_event()
    }

    /// How many requests there are yet whose fate was foretold.
    pub(crate) fn fates(&self) -> usize {
        self.world().fates.len()
    }

    /// How many sessions and entries there are.
    pub(crate) fn size(&self) -> (usize, usize) {
        let world = self.world();
        (world.sessions.len(), world.line.len())
    }

    /// The world as it is now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.world.lock().unwrap();
        world.catch_up(Instant::now());
        world
    }

    /// A number that nothing else has.
    pub(crate) fn number(&self) -> u64 {
        let mut world = self.world();
        world.sent += 1;
        world.sent
    }

    /// Sends `message` when polled, and waits for its answer.
    pub(crate) fn ask(&self, message: Message) -> Pending<Answer> {
        let store = self.clone();
        Box::pin(async move {
            let (number, fate) = store.world().send(&message);
            store.0.changed.notify_waiters();
            let gone = || Error::new(ErrorKind::Unavailable, "the network lost it: a test said so");
            match fate {
                Fate::Answered { there, back, .. } => {
                    sleep(there + back).await;
                    let answer = store.world().answers.remove(&number).unwrap();
                    answer.map_err(|kind| Error::new(kind, "the store said so"))
                }
                Fate::Unanswered { limit, .. } | Fate::Lost { limit } => {
                    sleep(limit).await;
                    Err(gone())
                }
                Fate::Refused => Err(gone()),
            }
        })
    }

    /// The fencing number, once the entry holds.
    pub(crate) fn turn(&self, id: u64, number: u64) -> Pending<Grant> {
        let store = self.clone();
        Box::pin(async move {
            loop {
                let changed = store.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let (found, next) = {
                    let world = store.world();
                    (world.find(id, number).map(|standing| standing.held), world.next_event())
                };
                match found {
                    None => return Err(Error::new(ErrorKind::Lost, "the entry is gone")),
                    Some(Some(fence)) => {
                        let fate = store.world().fates.pop_front();
                        if let Some(Fate::Answered { back, .. }) = fate {
                            sleep(back).await;
                        }
                        return Ok(Grant::new(fence));
                    }
                    Some(None) => match next {
                        Some(next) => drop(timeout(next.saturating_duration_since(Instant::now()), changed).await),
                        None => changed.await,
                    },
                }
            }
        })
    }
}

impl World {
    fn send(&mut self, message: &Message) -> (u64, Fate) {
        self.sent += 1;
        let (number, now) = (self.sent, Instant::now());
        let fate = self.fates.pop_front().unwrap_or(self.then);
        let arrivals = match fate {
            Fate::Answered { there, again, .. } => vec![Some(there), again.map(|again| there + again)],
            Fate::Unanswered { there, .. } => vec![Some(there)],
            Fate::Lost { .. } | Fate::Refused => Vec::new(),
        };
        for (copy, after) in arrivals.into_iter().enumerate().filter_map(|(copy, after)| Some((copy, after?))) {
            // Only the first one's answer comes back.
            let answers = if copy == 0 && matches!(fate, Fate::Answered { .. }) { number } else { 0 };
            self.sent += 1;
            self.mail.insert((now + after, self.sent), (answers, message.clone()));
        }
        (number, fate)
    }

    fn next_event(&self) -> Option<Instant> {
        let mail = self.mail.keys().next().map(|(at, _)| *at);
        let lapse = self.sessions.values().map(|alive| alive.until).min();
        mail.into_iter().chain(lapse).min()
    }

    /// Lets everything happen that has happened until `now`, in its order.
    fn catch_up(&mut self, now: Instant) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            // What arrives as the session lapses is too late.
            self.sessions.retain(|_, alive| alive.until > at);
            self.settle();
            if let Some(letter) = self.mail.first_entry().filter(|letter| letter.key().0 <= at) {
                let (number, message) = letter.remove();
                let answer = self.carry_out(message, at);
                if number != 0 {
                    self.answers.insert(number, answer);
                }
                self.settle();
            }
        }
    }

    /// Who lapsed is out of line, and whoever is first now holds.
    fn settle(&mut self) {
        let sessions = &self.sessions;
        self.line.retain(|standing| sessions.contains_key(&standing.session));
        if let Some(first) = self.line.front_mut().filter(|first| first.held.is_none()) {
            self.counter += 1;
            first.held = Some(self.counter);
        }
    }

    fn carry_out(&mut self, message: Message, now: Instant) -> Result<Answer, ErrorKind> {
        match message {
            Message::Open { id, ttl } => {
                self.sessions.insert(id, Alive { ttl, until: self.lapse(now, ttl) });
                Ok(Answer::Done)
            }
            Message::Renew { id } => {
                let ttl = self.sessions.get(&id).ok_or(ErrorKind::Lost)?.ttl;
                let until = self.lapse(now, ttl);
                self.sessions.insert(id, Alive { ttl, until });
                Ok(Answer::Done)
            }
            Message::Enter { id, number, holder, when_busy } => {
                if !self.sessions.contains_key(&id) || self.left.contains(&(id, number)) {
                    return Err(ErrorKind::Lost);
                }
                let stands = self.find(id, number).is_some();
                if let (false, WhenBusy::Refuse, Some(first)) = (stands, when_busy, self.line.front()) {
                    return Ok(Answer::Entered(Entered::Busy(first.holder.clone())));
                }
                if !stands {
                    self.line.push_back(Standing { session: id, number, holder, held: None });
                    self.settle();
                }
                let held = self.find(id, number).and_then(|standing| standing.held);
                Ok(Answer::Entered(held.map_or(Entered::Queued, Entered::held)))
            }
            Message::Leave { id, number } => {
                self.left.insert((id, number));
                self.line.retain(|standing| (standing.session, standing.number) != (id, number));
                Ok(Answer::Done)
            }
            Message::Close { id } => {
                self.sessions.remove(&id);
                Ok(Answer::Done)
            }
            Message::Inspect => Ok(Answer::Holders(self.line.iter().map(|one| Holder::clone(&one.holder)).collect())),
        }
    }

    fn find(&self, session: u64, number: u64) -> Option<&Standing> {
        self.line.iter().find(|standing| (standing.session, standing.number) == (session, number))
    }

    /// When a lease that begins now is over: the store counts it on its own clock.
    fn lapse(&self, now: Instant, ttl: Duration) -> Instant {
        now + ttl * 1000 / self.pace
    }
}
