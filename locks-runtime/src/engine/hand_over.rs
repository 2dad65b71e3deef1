//! A hold that goes on in another process: detached by the one, and adopted by the other.

use super::core::Engine;
use super::hold::{Hold, NOT_EXTENDED};
use super::life::Phase;
use super::observe;
use super::offer::{NoResult, Offer};
use super::owned::OwnedEntry;
use super::request::{Caller, OuterHolds, Request};
use super::schedule;
use crate::contract::{Backoff, Detached, Detaching, Entry, Grant, cannot_hand_over};
use crate::values::duration;
use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::{Fence, Fences};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::mode::Mode;
use crate::values::options::Options;
use crate::values::ticket::{self, Ticket};
use crate::world::World;
use crate::world::clock::Moment;
use crate::world::departure::Departure;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const BOUND: &str = "a lock cannot be handed over whose `etcd_compare`, `postgres_condition` or `descriptors` were asked for: what they \
                     allow would still be allowed to this process";

impl Engine {
    fn check_hands_over(&self, key: &Key) -> Result<(), Error> {
        if self.store.capabilities().hand_over { Ok(()) } else { Err(cannot_hand_over(&self.defaults.store(), key)) }
    }
}

impl Hold {
    /// Whether it can be handed over, before anything is changed.
    pub(crate) fn check_detach(&self, ttl: Duration) -> Result<(), Error> {
        duration::check("ttl", ttl).map_err(Error::invalid_option)?;
        self.engine.check_hands_over(self.key())?;
        let what = match self.mode() {
            Mode::Shared => "a shared lock cannot be handed over: acquire it exclusively",
            Mode::Permits(_) => "a permit cannot be handed over: acquire the lock exclusively",
            Mode::Exclusive if !self.held.entry.others.is_empty() => {
                "several locks at one moment cannot be handed over: acquire one lock that stands for them"
            }
            Mode::Exclusive if self.request().holder.value.is_some() => "who leads cannot hand that over: resign",
            Mode::Exclusive if self.extended_until.load() > NOT_EXTENDED => {
                "a lock with `hold_at_least` cannot be handed over: acquire it without"
            }
            Mode::Exclusive if self.bound.load(Ordering::SeqCst) => BOUND,
            Mode::Exclusive if self.fence().next().is_none() => {
                "it was handed over too often: release it, and acquire it there"
            }
            Mode::Exclusive => return Ok(()),
        };
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// Hands it over: it ends here before anything is sent. Whatever comes of it, nothing of it is this hold's any more.
    pub(crate) async fn detach(&self, ttl: Duration) -> Result<Ticket, Error> {
        self.check_detach(ttl).map_err(|error| error.with_key(self.key()))?;
        let now = self.world().now();
        let lost = self.loss_at(now);
        let reason = lost.unwrap_or_else(|| self.held.end(EndReason::HandedOver));
        if reason != EndReason::HandedOver {
            return Err(self.lost_error(&reason));
        }
        // Sequentially consistent with `bind`: one of the two sees the other.
        self.released.store(true, Ordering::SeqCst);
        let Some(owned) = self.owned.lock().take() else {
            return Err(self.lost_error(&EndReason::Released));
        };
        self.report_end(now, None);
        self.session.unregister(self.place);
        if self.bound.load(Ordering::SeqCst) {
            // `owned` is dropped, which releases the lock.
            return Err(Error::new(ErrorKind::Unsupported, BOUND).with_key(self.key()));
        }
        let detaching = Arc::new(Detaching::new(self.world(), ttl, self.held.entry.holder.handed_over()));
        let (lapses, limit) =
            (Duration::from_millis(self.world().wall_ms()) + ttl, self.engine.defaults.connect_timeout);
        let world = self.world().clone();
        let work = async move { detach(&world, owned, &detaching, limit).await };
        let detached = self.world().runtime().start(Box::pin(work)).await;
        let detached = detached.unwrap_or_else(|| Err(Error::store_panicked("detach"))).map_err(|error| {
            let text = "the lock was not handed over, as far as the store has answered; it is released, or lapses: acquire it again";
            Error::new(error.kind(), text).with_source(error).with_key(self.key())
        })?;
        Ok(Ticket {
            key: self.key().clone(),
            fence: self.fence(),
            hold_ttl: self.request().ttl.max(Duration::from_millis(1)),
            lapses_at_ms: u64::try_from(lapses.as_millis()).unwrap_or(u64::MAX),
            detached: Arc::new(detached),
        })
    }
}

/// Hands the entry over, until the store's answer is definite, or for `limit`: it is nobody's then, or, after an error, is withdrawn
/// if it is still this process's.
async fn detach(
    world: &World,
    owned: OwnedEntry,
    detaching: &Arc<Detaching>,
    limit: Duration,
) -> Result<Detached, Error> {
    let _until_done = Departure::begin();
    let until = world.now() + limit;
    let mut backoff = Backoff::new(world, schedule::SHORTEST_PAUSE, schedule::LONGEST_PAUSE);
    loop {
        match owned.detach(detaching).await {
            Ok(detached) => {
                owned.forget();
                return Ok(detached);
            }
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            Err(error) if world.now() >= until || owned.check(world.now()).is_err() => return Err(error),
            Err(_) => world.runtime().sleep(backoff.pause()).await,
        }
    }
}

/// What was adopted, and when.
#[derive(Debug)]
struct Adopted {
    owned: OwnedEntry,
    grant: Grant,
    at: Moment,
}

/// Goes on with what was handed over.
pub(crate) async fn adopt(engine: &Arc<Engine>, ticket: Ticket, caller: Caller) -> Result<Arc<Hold>, Error> {
    let key = ticket.key.clone();
    let next = ticket.fence.next().ok_or_else(|| ticket::invalid("it was handed over too often").with_key(&key))?;
    let options = Options { ttl: Some(ticket.hold_ttl), ..Options::DEFAULT };
    options.check().map_err(|error| ticket::invalid(error).with_key(&key))?;
    engine.check_open().map_err(|error| error.with_key(&key))?;
    engine.check_hands_over(&key)?;
    let nothing = OuterHolds { positions: Vec::new(), recorded: Vec::new() };
    let request = engine.request(Keys::from(key.clone()), options, caller, nothing);
    let holder = Arc::new(Holder { adopted: true, ..Holder::clone(&request.holder) });
    let request = Arc::new(Request { holder, ..request });
    let span = observe::span(&key, &request.holder.name, &options);
    let result = Box::pin(claim(engine, &request, ticket)).await.and_then(|adopted| {
        let Adopted { owned, grant, at } = adopted;
        let now = engine.world.now();
        owned.check(now)?;
        let position = owned.position().ok_or_else(|| Error::lost("the lock was taken away"))?.id();
        // The number is that of the hold before if the store has no greater one for it.
        let first = if grant.fence == next.number() { next } else { Fence::new(grant.fence, 0) };
        let fences = Fences { first, others: grant.others };
        Ok(Hold::begin(engine, Arc::clone(&request), span.clone(), position, owned, fences, (at, now)))
    });
    match &result {
        Ok(hold) => observe::acquired(&span, request.labels(), hold.fence(), hold.acquired().since(request.begun)),
        Err(error) => observe::refused(&span, request.labels(), error),
    }
    result.map_err(|error| error.with_key(&key))
}

/// Adopts it in the background: it goes back to nobody if the caller is not polled.
async fn claim(engine: &Arc<Engine>, request: &Arc<Request>, ticket: Ticket) -> Result<Adopted, Error> {
    let (adopting, theirs) = (Arc::clone(engine), Arc::clone(request));
    let work = Box::pin(async move { at_the_store(&adopting, &theirs, &ticket).await });
    let stopping = Arc::clone(engine);
    let over = async move { stopping.life.reached(Phase::Draining).await };
    match Offer::begin(&engine.world, (request.unclaimed_limit(), over), work, unclaimed).await {
        Ok(adopted) => {
            engine.check_open()?;
            adopted
        }
        Err(NoResult::Unclaimed) => Err(Error::lost(
            "the lock was adopted, and withdrawn again, for the future that asked for it was not polled",
        )),
        Err(NoResult::Panicked) => Err(Error::store_panicked("adopt")),
    }
}

/// Asks the store, again for a while if it does not answer.
async fn at_the_store(engine: &Arc<Engine>, request: &Arc<Request>, ticket: &Ticket) -> Result<Adopted, Error> {
    let world = &engine.world;
    let position = Arc::new(engine.queues.join_first(&request.key, engine.next_number(), request));
    position.asks(world.now());
    let session = engine.sessions.get(request.ttl).await?;
    let entry = Entry::new(request.key.clone(), engine.next_number(), Arc::clone(&request.holder));
    let mut owned = OwnedEntry::new(Arc::new(entry), session, Arc::clone(&position));
    let until = world.now() + engine.defaults.connect_timeout;
    let mut backoff = Backoff::new(world, schedule::SHORTEST_PAUSE, schedule::LONGEST_PAUSE);
    loop {
        match owned.adopt(&ticket.detached).await {
            Ok(Some(grant)) => {
                let at = world.now();
                owned.check(at)?;
                owned.note_held(at);
                return Ok(Adopted { owned, grant, at });
            }
            Ok(None) => {
                owned.forget();
                return Err(refusal(engine, ticket).await);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && world.now() < until => {
                position.fails(&error);
                owned.check(world.now()).map_err(try_again)?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Lost) => {
                return Err(try_again(error));
            }
            Err(error) => return Err(error),
        }
        world.runtime().sleep(backoff.pause()).await;
    }
}

/// If it was adopted after all, it is withdrawn, and the lock is free.
fn try_again(error: Error) -> Error {
    let text = "the ticket was not adopted, as far as the store has answered; adopt it again";
    Error::unavailable(text).with_source(error)
}

/// By how much clocks may differ without being called wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

/// Why nothing is there of the ticket, as far as it is known.
async fn refusal(engine: &Engine, ticket: &Ticket) -> Error {
    let (now, until) = (Duration::from_millis(engine.world.wall_ms()), Duration::from_millis(ticket.lapses_at_ms));
    let why = if now + CLOCKS_DIFFER < until {
        "it was adopted before, or the lock was released by force".to_owned()
    } else {
        let late = Duration::from_secs(now.saturating_sub(until).as_secs());
        let ago = if late.is_zero() { String::new() } else { format!(" {late:?} ago, by the clock of who made it") };
        format!("it has lapsed{ago}, unless it was adopted before")
    };
    let holder = engine.holder_of(&ticket.key).await;
    Error::lost(format!("the ticket is of no use any more: {why}; acquire the lock if there is still something to do"))
        .with_holder(holder)
}

/// It was adopted for a caller that is not polled: it is withdrawn.
fn unclaimed(adopted: Result<Adopted, Error>) {
    if let Ok(Adopted { owned, .. }) = adopted {
        let entry = owned.entry();
        observe::unclaimed(&entry.key, &entry.holder);
    }
}
