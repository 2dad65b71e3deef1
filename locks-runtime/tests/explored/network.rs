//! A store of one lock behind a network that loses, delays and duplicates requests, with a clock of its own.
//!
//! A request arrives at its time whether the client is running or not, as it does when a process is paused: the store
//! catches up whenever it is looked at, arrival by arrival and lapse by lapse.

use locks_runtime::store::{Entered, Grant, Pending, WhenBusy};
use locks_runtime::{Error, ErrorKind, Holder};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{self, Instant, sleep};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It arrives after `there`, perhaps a second time after `again`, and the answer takes `back`.
    Answered { there: Duration, again: Option<Duration>, back: Duration },
    /// It arrives after `there`, and its answer is lost: the client stops waiting for it after `timeout`.
    Unanswered { there: Duration, timeout: Duration },
    /// It is lost: the client stops waiting for the answer after `timeout`.
    Lost { timeout: Duration },
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
    state: Mutex<State>,
    /// Notified when a request is sent.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// How many milliseconds pass on the store's clock in a thousand of ours.
    pace: u32,
    /// Of the next requests.
    fates: VecDeque<Fate>,
    /// Of all later requests.
    later: Fate,
    /// Requests on their way, by the time at which each arrives.
    in_flight: BTreeMap<(Instant, u64), (u64, Request)>,
    answers: HashMap<u64, Result<Answer, ErrorKind>>,
    sent: u64,
    sessions: HashMap<u64, Alive>,
    /// The first one holds.
    queue: VecDeque<Queued>,
    /// Entries that left: a second copy of the request that put one into the queue is refused, as in every real store.
    left: HashSet<(u64, u64)>,
    counter: u64,
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    ttl: Duration,
    until: Instant,
}

#[derive(Debug)]
struct Queued {
    session: u64,
    number: u64,
    holder: Arc<Holder>,
    held: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
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
    /// An empty store whose clock runs at `pace`: 1010, for instance, is 1 % too fast.
    pub(crate) fn new(pace: u32) -> Self {
        let state = State {
            pace,
            fates: VecDeque::new(),
            later: Fate::GOOD,
            in_flight: BTreeMap::new(),
            answers: HashMap::new(),
            sent: 0,
            sessions: HashMap::new(),
            queue: VecDeque::new(),
            left: HashSet::new(),
            counter: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Decides what happens to the next requests, and to all later ones.
    pub(crate) fn set_fates(&self, fates: impl IntoIterator<Item = Fate>, later: Fate) {
        let mut state = self.state();
        state.fates = fates.into_iter().collect();
        state.later = later;
    }

    /// The fencing number of the holder now, by the store's own clock.
    pub(crate) fn holds(&self) -> Option<u64> {
        self.state().queue.front().and_then(|first| first.held)
    }

    /// When something arrives or lapses next.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        self.state().next_event()
    }

    /// How many fates are left for requests to come.
    pub(crate) fn fates_left(&self) -> usize {
        self.state().fates.len()
    }

    /// How many sessions and entries there are.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.sessions.len(), state.queue.len())
    }

    /// The state as it is now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap();
        state.catch_up(Instant::now());
        state
    }

    /// A new number.
    pub(crate) fn number(&self) -> u64 {
        let mut state = self.state();
        state.sent += 1;
        state.sent
    }

    /// Sends the request when polled, and waits for its answer.
    pub(crate) fn request(&self, request: Request) -> Pending<Answer> {
        let store = self.clone();
        Box::pin(async move {
            let (number, fate) = store.state().send(&request);
            store.0.changed.notify_waiters();
            let no_answer = || Error::new(ErrorKind::Unavailable, "the request was lost: a test said so");
            match fate {
                Fate::Answered { there, back, .. } => {
                    sleep(there + back).await;
                    let answer = store.state().answers.remove(&number).unwrap();
                    answer.map_err(|kind| Error::new(kind, "refused by the store"))
                }
                Fate::Unanswered { timeout, .. } | Fate::Lost { timeout } => {
                    sleep(timeout).await;
                    Err(no_answer())
                }
                Fate::Refused => Err(no_answer()),
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
                    let state = store.state();
                    (state.find(id, number).map(|entry| entry.held), state.next_event())
                };
                match found {
                    None => return Err(Error::new(ErrorKind::Lost, "the entry is gone")),
                    Some(Some(fence)) => {
                        let fate = store.state().fates.pop_front();
                        if let Some(Fate::Answered { back, .. }) = fate {
                            sleep(back).await;
                        }
                        return Ok(Grant::new(fence));
                    }
                    Some(None) => match next {
                        Some(next) => {
                            drop(time::timeout(next.saturating_duration_since(Instant::now()), changed).await)
                        }
                        None => changed.await,
                    },
                }
            }
        })
    }
}

impl State {
    fn send(&mut self, request: &Request) -> (u64, Fate) {
        self.sent += 1;
        let (number, now) = (self.sent, Instant::now());
        let fate = self.fates.pop_front().unwrap_or(self.later);
        let arrivals = match fate {
            Fate::Answered { there, again, .. } => vec![Some(there), again.map(|again| there + again)],
            Fate::Unanswered { there, .. } => vec![Some(there)],
            Fate::Lost { .. } | Fate::Refused => Vec::new(),
        };
        for (copy, after) in arrivals.into_iter().enumerate().filter_map(|(copy, after)| Some((copy, after?))) {
            // Only the first copy is answered.
            let answered = if copy == 0 && matches!(fate, Fate::Answered { .. }) { number } else { 0 };
            self.sent += 1;
            self.in_flight.insert((now + after, self.sent), (answered, request.clone()));
        }
        (number, fate)
    }

    fn next_event(&self) -> Option<Instant> {
        let in_flight = self.in_flight.keys().next().map(|(at, _)| *at);
        let lapse = self.sessions.values().map(|alive| alive.until).min();
        in_flight.into_iter().chain(lapse).min()
    }

    /// Lets everything happen that is due until `now`, in order.
    fn catch_up(&mut self, now: Instant) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            // A request that arrives as its session lapses is too late.
            self.sessions.retain(|_, alive| alive.until > at);
            self.settle();
            if let Some(arrival) = self.in_flight.first_entry().filter(|arrival| arrival.key().0 <= at) {
                let (number, request) = arrival.remove();
                let answer = self.carry_out(request, at);
                if number != 0 {
                    self.answers.insert(number, answer);
                }
                self.settle();
            }
        }
    }

    /// Removes entries that have lapsed, and lets the first one hold.
    fn settle(&mut self) {
        let sessions = &self.sessions;
        self.queue.retain(|entry| sessions.contains_key(&entry.session));
        if let Some(first) = self.queue.front_mut().filter(|first| first.held.is_none()) {
            self.counter += 1;
            first.held = Some(self.counter);
        }
    }

    fn carry_out(&mut self, request: Request, now: Instant) -> Result<Answer, ErrorKind> {
        match request {
            Request::Open { id, ttl } => {
                self.sessions.insert(id, Alive { ttl, until: self.lapse(now, ttl) });
                Ok(Answer::Done)
            }
            Request::Renew { id } => {
                let ttl = self.sessions.get(&id).ok_or(ErrorKind::Lost)?.ttl;
                let until = self.lapse(now, ttl);
                self.sessions.insert(id, Alive { ttl, until });
                Ok(Answer::Done)
            }
            Request::Enter { id, number, holder, when_busy } => {
                if !self.sessions.contains_key(&id) || self.left.contains(&(id, number)) {
                    return Err(ErrorKind::Lost);
                }
                let is_queued = self.find(id, number).is_some();
                if let (false, WhenBusy::Refuse, Some(first)) = (is_queued, when_busy, self.queue.front()) {
                    return Ok(Answer::Entered(Entered::Busy(first.holder.clone())));
                }
                if !is_queued {
                    self.queue.push_back(Queued { session: id, number, holder, held: None });
                    self.settle();
                }
                let held = self.find(id, number).and_then(|entry| entry.held);
                Ok(Answer::Entered(held.map_or(Entered::Queued, Entered::held)))
            }
            Request::Leave { id, number } => {
                self.left.insert((id, number));
                self.queue.retain(|entry| (entry.session, entry.number) != (id, number));
                Ok(Answer::Done)
            }
            Request::Close { id } => {
                self.sessions.remove(&id);
                Ok(Answer::Done)
            }
            Request::Inspect => {
                Ok(Answer::Holders(self.queue.iter().map(|entry| Holder::clone(&entry.holder)).collect()))
            }
        }
    }

    fn find(&self, session: u64, number: u64) -> Option<&Queued> {
        self.queue.iter().find(|entry| (entry.session, entry.number) == (session, number))
    }

    /// When a lease that is renewed now lapses: the store counts on its own clock.
    fn lapse(&self, now: Instant, ttl: Duration) -> Instant {
        now + ttl * 1000 / self.pace
    }
}
