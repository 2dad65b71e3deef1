//! Keeps a store's session alive, knows its deadline, and tells its holds of loss.

use crate::backend::{Backend, Session};
use crate::clock::{AtomicMoment, Clock, Moment};
use crate::error::{Error, ErrorKind};
use crate::hold::Hold;
use crate::observe;
use crate::over::{Over, Why};
use crate::runtime::Runtime;
use crate::schedule;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};

/// The sessions of one client, one for each TTL.
#[derive(Debug)]
pub(crate) struct Sessions {
    backend: Arc<dyn Backend>,
    runtime: Runtime,
    clock: Clock,
    open: Mutex<Open>,
    /// One at a time opens a session; the others then find it.
    opening: Arc<AsyncMutex<()>>,
    answered: Arc<AtomicMoment>,
}

#[derive(Debug, Default)]
struct Open {
    keepers: HashMap<Duration, Arc<Keeper>>,
    /// No more sessions: the client is closed.
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(backend: Arc<dyn Backend>, runtime: Runtime, clock: Clock) -> Arc<Self> {
        let answered = Arc::new(AtomicMoment::new(Moment::from_nanos(0)));
        Arc::new(Self { backend, runtime, clock, open: Mutex::default(), opening: Arc::default(), answered })
    }

    /// When the store is known to have answered last, for the time that an outage may take.
    pub(crate) fn answered(&self) -> &AtomicMoment {
        &self.answered
    }

    /// A member of the session for `ttl`, which is opened if there is none.
    pub(crate) async fn join(self: &Arc<Self>, ttl: Duration) -> Result<Membership, Error> {
        if let Some(member) = self.join_open(ttl) {
            return Ok(member);
        }
        let sessions = Arc::clone(self);
        let opened = self.runtime.start(Box::pin(async move {
            let _one_at_a_time = Arc::clone(&sessions.opening).lock_owned().await;
            match sessions.join_open(ttl) {
                Some(member) => Ok(member),
                None => sessions.open(ttl).await,
            }
        }));
        opened.await.unwrap_or_else(|| Err(Error::unavailable("opening a session with the store failed inside")))
    }

    fn join_open(&self, ttl: Duration) -> Option<Membership> {
        let keeper = self.lock().keepers.get(&ttl).cloned()?;
        // Past its deadline but not yet found lost, after a pause for instance.
        keeper.alive().then(|| Membership::join(keeper)).flatten()
    }

    async fn open(self: Arc<Self>, ttl: Duration) -> Result<Membership, Error> {
        let sent = self.clock.now();
        let session = self.backend.open(ttl).await?;
        let keeper = Arc::new(Keeper {
            deadline: AtomicMoment::new(schedule::deadline(sent, session.ttl())),
            session,
            clock: self.clock,
            opened: sent,
            lost: Over::default(),
            ended: Over::default(),
            members: Mutex::new(Members { closed: false, count: 0, used: false, holds: HashMap::new() }),
            nudge: Notify::new(),
            answered: Arc::clone(&self.answered),
        });
        self.answered.advance(self.clock.now());
        {
            let mut open = self.lock();
            open.keepers.insert(ttl, Arc::clone(&keeper));
            if open.closed {
                keeper.lose(CLOSED);
            }
        }
        self.runtime.spawn(Arc::clone(&keeper).keep(Arc::downgrade(&self), ttl, self.runtime.clone(), sent));
        Membership::join(keeper).ok_or_else(|| Error::unavailable("the session with the store ended as it began"))
    }

    /// Ends every session, with whatever it still holds; one that is just being opened too.
    pub(crate) async fn close(&self) {
        self.lock().closed = true;
        self.lose_all();
        let _no_more = self.opening.lock().await;
        for keeper in self.lose_all() {
            keeper.ended().await;
        }
    }

    fn lose_all(&self) -> Vec<Arc<Keeper>> {
        let keepers: Vec<_> = self.lock().keepers.values().cloned().collect();
        keepers.iter().for_each(|keeper| drop(keeper.lose(CLOSED)));
        keepers
    }

    fn forget(&self, ttl: Duration, keeper: &Arc<Keeper>) {
        let keepers = &mut self.lock().keepers;
        if keepers.get(&ttl).is_some_and(|known| Arc::ptr_eq(known, keeper)) {
            keepers.remove(&ttl);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session that is being kept alive.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) session: Arc<dyn Session>,
    clock: Clock,
    opened: Moment,
    deadline: AtomicMoment,
    lost: Over,
    /// Nothing of it is in the store any more, as far as that could be brought about.
    ended: Over,
    members: Mutex<Members>,
    /// Wakes the renewal before its time.
    nudge: Notify,
    answered: Arc<AtomicMoment>,
}

#[derive(Debug)]
struct Members {
    /// No more members: the session is being closed.
    closed: bool,
    count: usize,
    /// Whether anybody joined since the last renewal.
    used: bool,
    /// Holds whose entries are not yet watched for removal.
    holds: HashMap<u64, Weak<Hold>>,
}

impl Keeper {
    /// Whether the session can still be proved: not lost, and before its deadline.
    pub(crate) fn alive(&self) -> bool {
        self.loss().is_none()
    }

    /// Why the session cannot be proved any more, if so. Looks at the clock anew.
    pub(crate) fn loss(&self) -> Option<Why> {
        self.loss_at(self.clock.now())
    }

    /// As [`loss`](Keeper::loss), by one who has just looked at the clock.
    pub(crate) fn loss_at(&self, now: Moment) -> Option<Why> {
        self.lost.why().or_else(|| (now >= self.deadline.load()).then(|| self.lose(OVERDUE)))
    }

    /// Ends when the session is lost, with the reason.
    pub(crate) async fn lost(&self) -> Why {
        self.lost.wait().await
    }

    /// Says that the session is over. The first reason stands.
    pub(crate) fn lose(&self, why: impl Into<Why>) -> Why {
        let (stands, _) = self.lost.tell(why.into());
        self.nudge.notify_one();
        stands
    }

    /// Adds a hold, so that its entry is watched once it has lasted until the next renewal.
    pub(crate) fn watch_later(&self, hold: &Arc<Hold>) {
        self.lock().holds.insert(hold.number(), Arc::downgrade(hold));
    }

    /// The life of the session, on the background thread.
    async fn keep(self: Arc<Self>, sessions: Weak<Sessions>, asked: Duration, runtime: Runtime, opened: Moment) {
        let ttl = self.session.ttl();
        let mut sent = opened;
        let mut used = opened;
        loop {
            let pause = (sent + schedule::renew_after(ttl)).since(self.clock.now());
            let _ = tokio::time::timeout(pause, self.nudge.notified()).await;
            if self.loss().is_some() {
                break;
            }
            if !self.is_idle_since(&mut used, schedule::idle_limit(ttl)) {
                self.watch_holds(&runtime);
                match self.renew().await {
                    Some(at) => sent = at,
                    None => break,
                }
            } else if self.close_if_unused() {
                self.lose(IDLE);
                break;
            }
        }
        let why = self.loss().unwrap_or(Why::Borrowed(OVERDUE));
        let wanted = !matches!(&*why, CLOSED | IDLE);
        observe::session_ended(self.clock.now().since(self.opened), ttl, &why, wanted);
        self.give_up(ttl).await;
        if let Some(sessions) = sessions.upgrade() {
            sessions.forget(asked, &self);
        }
        self.ended.tell(why);
    }

    /// Renews until the store has acknowledged it, and gives the moment that request was sent.
    async fn renew(&self) -> Option<Moment> {
        let mut failures = 0;
        loop {
            let sent = self.clock.now();
            let left = self.deadline.load().since(sent);
            match tokio::time::timeout(left, self.session.renew()).await {
                Ok(Ok(())) => {
                    self.answered.advance(self.clock.now());
                    self.deadline.advance(schedule::deadline(sent, self.session.ttl()));
                    return self.alive().then_some(sent);
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Lost => {
                    self.lose(error.to_string());
                    return None;
                }
                Ok(Err(error)) => {
                    failures += 1;
                    let left = self.deadline.load().since(self.clock.now());
                    observe::renewal_failed(&error, left);
                    // Not beyond the deadline: the bodies are to be stopped then.
                    let pause = schedule::backoff(failures, self.session.ttl() / 10).min(left);
                    let _ = tokio::time::timeout(pause, self.nudge.notified()).await;
                }
                Err(_) => {}
            }
            if self.loss().is_some() {
                return None;
            }
        }
    }

    /// Tries to end a session that is over, so that its locks need not wait for it to lapse.
    ///
    /// Its bodies are stopped first. One that does not await cannot be, and gets no less time than a lapse would give.
    async fn give_up(&self, ttl: Duration) {
        let _ = tokio::time::timeout(schedule::reserve(ttl), self.left_alone()).await;
        for failures in 1..=5 {
            match self.session.close().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tokio::time::sleep(schedule::backoff(failures * 2, ttl)).await;
                }
                _ => return,
            }
        }
    }

    /// Ends when nobody has an entry in the session any more.
    async fn left_alone(&self) {
        loop {
            let nudged = self.nudge.notified();
            if self.lock().count == 0 {
                return;
            }
            nudged.await;
        }
    }

    /// Ends when the session has left the store, or could not be brought to.
    async fn ended(&self) {
        self.ended.wait().await;
    }

    /// Begins to watch the entries of the holds that have lasted until now: a short hold never costs a watch.
    fn watch_holds(self: &Arc<Self>, runtime: &Runtime) {
        let holds: Vec<_> = self.lock().holds.drain().collect();
        for hold in holds.into_iter().filter_map(|(_, hold)| hold.upgrade()) {
            runtime.spawn(Hold::watch_removal(hold));
        }
    }

    fn is_idle_since(&self, used: &mut Moment, limit: Duration) -> bool {
        let now = self.clock.now();
        let mut members = self.lock();
        if std::mem::take(&mut members.used) || members.count > 0 {
            *used = now;
        }
        now.since(*used) >= limit
    }

    fn close_if_unused(&self) -> bool {
        let mut members = self.lock();
        members.closed = members.count == 0;
        members.closed
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CLOSED: &str = "the client was closed";
const IDLE: &str = "nothing was held for a while";
const OVERDUE: &str = "the store did not acknowledge a renewal in time, or the process was paused for too long";

/// The right to put an entry into a session, which is not closed as idle meanwhile.
#[derive(Debug)]
pub(crate) struct Membership(Arc<Keeper>);

impl Membership {
    fn join(keeper: Arc<Keeper>) -> Option<Self> {
        {
            let mut members = keeper.lock();
            if members.closed {
                return None;
            }
            members.count += 1;
            members.used = true;
        }
        Some(Self(keeper))
    }

    /// The hold with this number is over: it need not be watched any more.
    pub(crate) fn forget(&self, number: u64) {
        self.0.lock().holds.remove(&number);
    }
}

impl std::ops::Deref for Membership {
    type Target = Arc<Keeper>;

    fn deref(&self) -> &Arc<Keeper> {
        &self.0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let is_last = {
            let mut members = self.0.lock();
            members.count -= 1;
            members.count == 0
        };
        if is_last && !self.0.alive() {
            self.0.nudge.notify_one();
        }
    }
}
