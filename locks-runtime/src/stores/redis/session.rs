//! A session: the entries of one client with one TTL, and what is known of each.
//!
//! Redis has nothing like a session. Ours is a number in the tokens of its entries; it lapses, by our own clock, when
//! no renewal was acknowledged for its TTL, and each of its keys does so in the server, no sooner.

use super::hub::Sign;
use super::server::{Reply, Request, lock};
use super::store::Inner;
use super::{names, tend, turn};
use crate::contract::{Entered, Entry, Grant, Native, Pending, Renewal, Session, WhenBusy};
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Clock, Moment};
use crate::world::random;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The shortest TTL: less would be over before an answer comes.
const SHORTEST: Duration = Duration::from_millis(100);

/// For how many renewals a request that was given up is expected to come through after all.
const STRAY_FOR: u32 = 10;

/// How a hold ends that was not given back.
pub(super) const GONE: &str =
    "the entry is gone from Redis: somebody removed it, it lapsed, or the server forgot it in a restart or failover";

#[derive(Debug)]
pub(super) struct RedisSession(pub(super) Arc<Shared>);

/// What the futures of one session share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<Inner>,
    pub(super) id: u64,
    pub(super) ttl: Duration,
    /// When the last request was sent that is known to have renewed everything.
    proved: AtomicMoment,
    closed: AtomicBool,
    pub(super) slots: Mutex<HashMap<u64, Slot>>,
    /// Entries that were left and may come back to the store, each with the number of renewals for which to look.
    pub(super) strays: Mutex<HashMap<u64, (Arc<Entry>, u32)>>,
    /// Wakes who looks after the queued entries, and ends it when the session is dropped.
    pub(super) attention: watch::Sender<()>,
    pub(super) attended: AtomicBool,
}

/// What is known of an entry from before it is first sent until it leaves.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Arc<Entry>,
    pub(super) state: watch::Sender<State>,
    /// When to ask where it stands, although nobody told of a change.
    pub(super) due: Option<Moment>,
    /// A request for it was given up, and may still be carried out.
    pub(super) in_doubt: bool,
}

/// Where an entry stands, as far as the store has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Asked,
    Queued,
    Held(u64),
    Gone,
}

impl RedisSession {
    pub(super) async fn open(store: Arc<Inner>, ttl: Duration) -> Result<Self, Error> {
        let sent = Clock::Boot.now();
        store.server.greet().await?;
        let shared = Arc::new(Shared {
            store,
            id: random::bits(),
            // Redis counts milliseconds.
            ttl: Duration::from_millis(tend::milliseconds(ttl)).max(SHORTEST),
            proved: AtomicMoment::new(sent),
            closed: AtomicBool::new(false),
            slots: Mutex::default(),
            strays: Mutex::default(),
            attention: watch::Sender::new(()),
            attended: AtomicBool::new(false),
        });
        shared.store.hub.add(&shared);
        Ok(Self(shared))
    }
}

impl Session for RedisSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let shared = self.0.clone();
        Box::pin(async move { tend::renew(&shared).await.map(|()| Renewal::complete()) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let shared = self.0.clone();
        Box::pin(async move { super::enter::enter(&shared, &entry, when_busy).await })
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        let shared = self.0.clone();
        Box::pin(async move { turn::turn(&shared, &entry).await.map(Grant::new) })
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { tend::keep(&shared, &entry, least).await })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move { tend::leave(&shared, &entry).await })
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        let shared = self.0.clone();
        Box::pin(async move {
            let state = lock(&shared.slots).get(&entry.number).map(|slot| slot.state.subscribe());
            shared.store.hub.listen(&shared.store);
            // Without a strong reference: a session that nobody renews any more ends.
            drop(shared);
            if let Some(mut state) = state
                && state.wait_for(|state| *state == State::Gone).await.is_ok()
            {
                return Err(Error::lost(GONE));
            }
            // It left.
            pending().await
        })
    }

    fn close(&self) -> Pending<()> {
        let shared = self.0.clone();
        Box::pin(async move {
            shared.closed.store(true, Ordering::Release);
            tend::withdraw_all(&shared).await
        })
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

impl Shared {
    /// `Lost` if the session is closed, or lapsed: whatever may still be in the store is not to be counted on.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::lost("the session was closed"));
        }
        if Clock::Boot.now().since(self.proved.load()) >= self.ttl {
            return Err(Error::lost("the session lapsed: no renewal was acknowledged within its TTL"));
        }
        Ok(())
    }

    /// A renewal of everything, sent then, was acknowledged.
    pub(super) fn renewed(&self, sent: Moment) {
        self.proved.advance(sent);
    }

    pub(super) fn name(&self, entry: &Entry) -> Result<String, Error> {
        names::name(&self.store.server.config.namespace, &entry.key)
    }

    pub(super) fn token(&self, entry: &Entry) -> String {
        names::token(self.store.client, self.id, entry)
    }

    /// The slot of `entry`, which is made if there is none: before anything is sent, so that each renewal covers it.
    pub(super) fn slot<T>(&self, entry: &Arc<Entry>, look: impl FnOnce(&mut Slot) -> T) -> T {
        let new =
            || Slot { entry: Arc::clone(entry), state: watch::Sender::new(State::Asked), due: None, in_doubt: false };
        look(lock(&self.slots).entry(entry.number).or_insert_with(new))
    }

    /// The entry is none of the session's any more. Who waits for its turn is told so by the end of its slot.
    pub(super) fn forget(&self, entry: &Arc<Entry>, may_come_back: bool) {
        let slot = lock(&self.slots).remove(&entry.number);
        if may_come_back || slot.is_some_and(|slot| slot.in_doubt) {
            lock(&self.strays).insert(entry.number, (Arc::clone(entry), STRAY_FOR));
        }
    }

    /// One request about one entry.
    pub(super) async fn ask(&self, what: &'static str, name: String, arguments: Vec<Vec<u8>>) -> Reply {
        let request = Request { what, keys: vec![name], arguments };
        self.store.server.ask(self.store.server.config.attempt(), &request).await
    }

    /// What the server told unasked about an entry of this session.
    pub(super) fn told(&self, number: u64, sign: Sign) {
        let mut slots = lock(&self.slots);
        let Some(slot) = slots.get_mut(&number) else { return };
        match sign {
            Sign::Granted(fence) => slot.becomes(State::Held(fence)),
            Sign::TakenAway => slot.becomes(State::Gone),
            Sign::FirstNow(wait) => {
                slot.due = Some(Clock::Boot.now() + wait);
                drop(slots);
                self.attention.send_replace(());
            }
        }
    }
}

impl Slot {
    pub(super) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Takes note of what the store told, which may be older than what is known: no hold becomes a place in line
    /// again, and nothing comes after a loss.
    pub(super) fn becomes(&mut self, new: State) {
        let is_news = match (self.state(), new) {
            (State::Gone, _) | (State::Held(_), State::Held(_) | State::Queued | State::Asked) => false,
            (known, new) => known != new,
        };
        if is_news {
            self.state.send_replace(new);
        }
        if !matches!(new, State::Queued) {
            self.due = None;
        }
    }
}
