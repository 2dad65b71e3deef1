//! The sessions of one client, one for each TTL.

use super::active::{ActiveSession, SessionRef};
use super::contact::Contact;
use super::upkeep;
use crate::contract::{Session, Store};
use crate::engine::{observe, schedule};
use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::values::shared_error;
use crate::world::World;
use crate::world::clock::Moment;
use crate::world::panic::contained;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// How many sessions have exactly the TTL that is asked for. With more, TTLs are rounded up, and locks share sessions.
const EXACT: usize = 8;

/// The sessions of one client, one for each TTL.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    world: World,
    /// For how long a caller waits for a session.
    open_timeout: Duration,
    open: Mutex<Open>,
    contact: Arc<Contact>,
}

#[derive(Debug, Default)]
struct Open {
    by_ttl: BTreeMap<Duration, Arc<ActiveSession>>,
    /// Whoever wants the same session waits for the same attempt, and has its result.
    attempts: BTreeMap<Duration, Attempt>,
    /// No more sessions: the client is closed, or gone.
    closed: bool,
    /// The TTLs that the store is known to raise.
    raised: BTreeSet<Duration>,
}

type Outcome = Result<Arc<ActiveSession>, Arc<Error>>;

/// A session that is being opened. (With a `watch` channel those who wait would go on in a random order.)
type Attempt = broadcast::Receiver<Outcome>;

/// What there is for a caller.
enum Found {
    Session(SessionRef),
    Attempt(Attempt),
    /// Nothing: the caller is the first, and opens it.
    Begun(Duration, broadcast::Sender<Outcome>, Attempt),
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn Store>, world: World, connect_timeout: Duration) -> Arc<Self> {
        // The store has that timeout, too, and its error says more.
        let open_timeout = connect_timeout + connect_timeout / 4;
        let contact = Arc::new(Contact::new(world.clone()));
        Arc::new(Self { store, world, open_timeout, open: Mutex::default(), contact })
    }

    /// The session for `ttl`, or for a little more, which is opened if there is none. However many ask at once, each waits
    /// as long as one would.
    pub(crate) async fn get(self: &Arc<Self>, ttl: Duration) -> Result<SessionRef, Error> {
        match self.get_or_open(ttl, Open::shared_ttl).await {
            // A little more is more than the store knows.
            Err(error) if error.kind() == ErrorKind::Unsupported && schedule::round_up(ttl) != ttl => {
                self.get_or_open(ttl, |_, ttl| ttl).await
            }
            result => result,
        }
    }

    /// The session for `ttl`, if there is one at `now`.
    pub(crate) fn open_at(&self, ttl: Duration, now: Moment) -> Option<SessionRef> {
        let open = self.open.lock();
        let session = open.by_ttl.get(&ttl).filter(|session| session.loss_at(now).is_none())?;
        SessionRef::to(Arc::clone(session))
    }

    async fn get_or_open(
        self: &Arc<Self>,
        ttl: Duration,
        of_session: fn(&Open, Duration) -> Duration,
    ) -> Result<SessionRef, Error> {
        let mut attempt = match self.find(ttl, of_session) {
            Found::Session(session) => return Ok(session),
            Found::Attempt(attempt) => attempt,
            Found::Begun(ttl, outcome, attempt) => {
                drop(self.world.runtime().start(Box::pin(Arc::clone(self).open(ttl, outcome))));
                attempt
            }
        };
        let ended = async { attempt.recv().await.ok() };
        match self.world.runtime().within(self.open_timeout, ended).await {
            Some(Some(Ok(session))) => SessionRef::to(session).ok_or_else(|| {
                Error::unavailable("the session with the store was closed while it was being opened; try again")
            }),
            Some(Some(Err(error))) => Err(shared_error::copy_of(&error)),
            Some(None) => Err(Error::store_panicked("open")),
            None => Err(Error::unavailable(format!("the store did not answer within {:?}", self.open_timeout))),
        }
    }

    fn find(&self, ttl: Duration, of_session: fn(&Open, Duration) -> Duration) -> Found {
        let mut open = self.open.lock();
        let ttl = of_session(&open, ttl);
        // Past its deadline but not yet found lost, after a pause for instance, it is opened anew.
        let alive = open.by_ttl.get(&ttl).filter(|session| session.is_alive());
        if let Some(session) = alive.cloned().and_then(SessionRef::to) {
            return Found::Session(session);
        }
        if let Some(attempt) = open.attempts.get(&ttl) {
            return Found::Attempt(attempt.resubscribe());
        }
        let (outcome, attempt) = broadcast::channel(1);
        open.attempts.insert(ttl, attempt.resubscribe());
        Found::Begun(ttl, outcome, attempt)
    }

    async fn open(self: Arc<Self>, ttl: Duration, outcome: broadcast::Sender<Outcome>) {
        let sent = self.world.now();
        let opened = contained(self.store.open(ttl)).await.unwrap_or_else(|| Err(Error::store_panicked("open")));
        self.contact.note(sent, &opened);
        let session = opened.map(|session| self.keep(ttl, session, sent)).map_err(Arc::new);
        self.open.lock().attempts.remove(&ttl);
        // Nobody may be waiting any more.
        let _ = outcome.send(session);
    }

    /// From now on the session is renewed until it is over.
    fn keep(self: &Arc<Self>, ttl: Duration, opened: Arc<dyn Session>, sent: Moment) -> Arc<ActiveSession> {
        self.check_granted(ttl, opened.ttl());
        let session = Arc::new(ActiveSession::new(opened, self.world.clone(), sent, Arc::clone(&self.contact)));
        {
            let mut open = self.open.lock();
            open.by_ttl.insert(ttl, Arc::clone(&session));
            if open.closed {
                session.lose(EndReason::ClientClosed);
            }
        }
        let (pool, kept) = (Arc::downgrade(self), Arc::clone(&session));
        self.world.spawn(async move {
            upkeep::keep_alive(&kept).await;
            if let Some(pool) = pool.upgrade() {
                pool.forget(ttl, &kept);
            }
            kept.mark_ended();
        });
        session
    }

    /// Reports, once, a TTL that the store cannot keep as short as it was asked for. A fraction of a second is no matter.
    fn check_granted(&self, asked: Duration, granted: Duration) {
        if granted > asked * 3 / 2 && self.open.lock().raised.insert(asked) {
            observe::ttl_raised(asked, granted);
        }
    }

    /// Ends every session, with whatever it still holds; one that is just being opened too.
    pub(crate) async fn close(&self) {
        self.open.lock().closed = true;
        for session in self.lose_all() {
            session.ended().await;
        }
        self.attempts_end().await;
        for session in self.lose_all() {
            session.ended().await;
        }
    }

    /// Returns when nothing is being opened any more that was when this was called.
    async fn attempts_end(&self) {
        let attempts: Vec<Attempt> = self.open.lock().attempts.values().map(Attempt::resubscribe).collect();
        for mut attempt in attempts {
            let _ = attempt.recv().await;
        }
    }

    /// Nobody can ask for a session any more: each is closed as soon as nothing of it is left in the store.
    pub(crate) fn retire(&self) {
        let mut open = self.open.lock();
        open.closed = true;
        open.by_ttl.values().for_each(|session| session.retire());
    }

    /// When the store answered last.
    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Every session that is there, the longest TTL last.
    pub(crate) fn all(&self) -> Vec<Arc<ActiveSession>> {
        self.open.lock().by_ttl.values().cloned().collect()
    }

    /// Once all are [retired](Sessions::retire): returns when those without holds are closed.
    pub(crate) async fn unused_ones_end(&self) {
        self.attempts_end().await;
        for session in self.all() {
            if session.holds() == 0 {
                session.ended().await;
            }
        }
    }

    fn lose_all(&self) -> Vec<Arc<ActiveSession>> {
        let sessions = self.all();
        sessions.iter().for_each(|session| drop(session.lose(EndReason::ClientClosed)));
        sessions
    }

    fn forget(&self, ttl: Duration, session: &Arc<ActiveSession>) {
        let by_ttl = &mut self.open.lock().by_ttl;
        if by_ttl.get(&ttl).is_some_and(|known| Arc::ptr_eq(known, session)) {
            by_ttl.remove(&ttl);
        }
    }
}

impl Open {
    /// The TTL of the session for locks of this TTL: the same, or with many sessions a rounded one.
    fn shared_ttl(&self, ttl: Duration) -> Duration {
        let is_known = self.by_ttl.contains_key(&ttl) || self.attempts.contains_key(&ttl);
        if is_known || self.by_ttl.len() + self.attempts.len() < EXACT { ttl } else { schedule::round_up(ttl) }
    }
}
