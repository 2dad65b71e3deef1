//! A store of one lock behind a network that loses, delays and doubles what is sent, with a clock of its own.
//!
//! What is under way arrives at its time whether the client gets a turn or not, as it does when a process is paused: the
//! store is brought up to date whenever anybody looks at it, arrival by arrival and lapse by lapse.

use locks_runtime::backend::{Backend, Capabilities, Change, Entered, Entry, Line, Patience, Pending, Scope, Session};
use locks_runtime::{Error, ErrorKind, Holder, Key};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
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
pub(crate) struct Store(Arc<Shared>);

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
    holder: Holder,
    held: Option<u64>,
}

#[derive(Clone, Debug)]
enum Message {
    Open { id: u64, ttl: Duration },
    Renew { id: u64 },
    Enter { id: u64, number: u64, holder: Holder, patience: Patience },
    Leave { id: u64, number: u64 },
    Close { id: u64 },
    Inspect,
}

#[derive(Clone, Debug)]
enum Answer {
    Done,
    Entered(Entered),
    Holders(Vec<Holder>),
}

impl Store {
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

    /// Sends `message` when polled, and waits for its answer.
    fn ask(&self, message: Message) -> Pending<Answer> {
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
            Message::Enter { id, number, holder, patience } => {
                if !self.sessions.contains_key(&id) || self.left.contains(&(id, number)) {
                    return Err(ErrorKind::Lost);
                }
                let stands = self.find(id, number).is_some();
                if let (false, Patience::Try, Some(first)) = (stands, patience, self.line.front()) {
                    return Ok(Answer::Entered(Entered::Busy(first.holder.clone())));
                }
                if !stands {
                    self.line.push_back(Standing { session: id, number, holder, held: None });
                    self.settle();
                }
                let held = self.find(id, number).and_then(|standing| standing.held);
                Ok(Answer::Entered(held.map_or(Entered::Queued, Entered::Held)))
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
            Message::Inspect => Ok(Answer::Holders(self.line.iter().map(|one| one.holder.clone()).collect())),
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

impl Backend for Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: true,
            force_release: false,
            notices_removal: false,
            shared: false,
            permits: false,
            multi_key: false,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = self.clone();
        Box::pin(async move {
            let id = {
                let mut world = store.world();
                world.sent += 1;
                world.sent
            };
            store.ask(Message::Open { id, ttl }).await?;
            Ok(Arc::new(NetworkSession { store, id, ttl }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, _: Scope) -> Pending<Vec<Line>> {
        let asked = self.ask(Message::Inspect);
        Box::pin(async move {
            let Answer::Holders(mut holders) = asked.await? else { panic!("another answer") };
            let waiters = holders.split_off(1.min(holders.len()));
            let line = Line::new(Key::new("k")?, holders, waiters);
            Ok(if line.holders.is_empty() { Vec::new() } else { vec![line] })
        })
    }

    fn watch(&self, _: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "not here")) })
    }

    fn force_release(&self, _: Key) -> Pending<usize> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "not here")) })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[derive(Debug)]
struct NetworkSession {
    store: Store,
    id: u64,
    ttl: Duration,
}

impl NetworkSession {
    fn done(&self, message: Message) -> Pending<()> {
        let asked = self.store.ask(message);
        Box::pin(async move { asked.await.map(drop) })
    }
}

impl Session for NetworkSession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn renew(&self) -> Pending<()> {
        self.done(Message::Renew { id: self.id })
    }

    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered> {
        let (id, number, holder) = (self.id, entry.number, entry.holder.clone());
        let asked = self.store.ask(Message::Enter { id, number, holder, patience });
        Box::pin(async move {
            match asked.await? {
                Answer::Entered(entered) => Ok(entered),
                other => panic!("{other:?}"),
            }
        })
    }

    /// The notice of a turn is never lost, for that is for the stores to see to; it takes as long as the network wants.
    fn turn(&self, entry: Arc<Entry>) -> Pending<u64> {
        let (store, id) = (self.store.clone(), self.id);
        Box::pin(async move {
            loop {
                let changed = store.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let (found, next) = {
                    let world = store.world();
                    (world.find(id, entry.number).map(|standing| standing.held), world.next_event())
                };
                match found {
                    None => return Err(Error::new(ErrorKind::Lost, "the entry is gone")),
                    Some(Some(number)) => {
                        let fate = store.world().fates.pop_front();
                        if let Some(Fate::Answered { back, .. }) = fate {
                            sleep(back).await;
                        }
                        return Ok(number);
                    }
                    Some(None) => match next {
                        Some(next) => drop(timeout(next.saturating_duration_since(Instant::now()), changed).await),
                        None => changed.await,
                    },
                }
            }
        })
    }

    fn keep(&self, _: Arc<Entry>, _: Duration) -> Pending<()> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "not here")) })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.done(Message::Leave { id: self.id, number: entry.number })
    }

    fn gone(&self, _: Arc<Entry>) -> Pending<Infallible> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> Pending<()> {
        self.done(Message::Close { id: self.id })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
