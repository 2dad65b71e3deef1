//! From request to hold.

use super::context;
use super::core::Engine;
use super::hold::Hold;
use super::observe::{self, Labels};
use super::owned::{HandOff, OwnedEntry};
use super::queue::{self, Joined};
use super::request::{Caller, PositionId, Request};
use super::schedule;
use crate::contract::{Backoff, Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::values::options::Options;
use crate::world::clock::Moment;
use crate::world::panic::contain;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

type Position = queue::Position<HandOff>;

/// A hold, and whether the caller owns it.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// It is the caller's to release.
    Own(Arc<Hold>),
    /// The task ran under it already: whoever acquired it releases it.
    Joined(Arc<Hold>),
}

/// Takes the lock `key`, or joins the hold on it that this task runs under.
///
/// Dropping the future at any point leaves nothing behind: the [`OwnedEntry`] in it withdraws in the background whatever was
/// sent to the store.
pub(crate) async fn acquire(
    engine: &Arc<Engine>,
    key: Key,
    options: Options,
    caller: Caller,
) -> Result<Acquired, Error> {
    options.check().and_then(|()| engine.check_open()).map_err(|error| error.with_key(&key))?;
    if let Some(hold) = context::joinable(engine, &key) {
        return Ok(Acquired::Joined(hold));
    }
    let request = Arc::new(engine.request(key, options, caller, context::positions(engine)));
    let span = observe::span(&request.key, &request.holder.name, &options);
    let begun = engine.world.now();
    let attempt = Attempt { engine, request: &request, span: &span, begun, stage: Mutex::default() };
    match attempt.run().await {
        Ok(hold) => {
            observe::acquired(&span, request.labels(), hold.fence(), hold.acquired().since(begun));
            Ok(Acquired::Own(hold))
        }
        Err(error) => {
            let error = error.with_key(&request.key);
            observe::refused(&span, request.labels(), &error);
            Err(error)
        }
    }
}

/// One request on its way.
struct Attempt<'a> {
    engine: &'a Arc<Engine>,
    request: &'a Arc<Request>,
    span: &'a tracing::Span,
    begun: Moment,
    stage: Mutex<Stage>,
}

/// How far a request has come, for the error if its time is up.
#[derive(Debug, Default)]
enum Stage {
    /// In this process's queue.
    #[default]
    Local,
    /// The store was asked and has not answered.
    Asking,
    /// The store could not be reached.
    Unreachable(Error),
    /// In the store's queue.
    Queued,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Arc<Hold>, Error> {
        let (when_busy, limit) = match self.request.options.wait {
            // No holder is waited for, but the store must be.
            Some(Duration::ZERO) => (WhenBusy::Refuse, Some(self.engine.defaults.connect_timeout)),
            wait => (WhenBusy::Queue, wait),
        };
        let mut acquired = pin!(self.queue(when_busy));
        let Some(limit) = limit else { return acquired.await };
        match self.engine.world.runtime().within(limit, acquired.as_mut()).await {
            Some(result) => result,
            // Rare, and not to be room in every future that acquires.
            None => Err(Box::pin(self.timed_out(limit)).await),
        }
    }

    /// Joins the queue of this process, and at its head takes over what was handed off, or goes to the store.
    async fn queue(&self, when_busy: WhenBusy) -> Result<Arc<Hold>, Error> {
        let id = self.engine.next_number();
        let (position, handed_off) = match when_busy {
            WhenBusy::Refuse => (self.engine.queues.try_join(id, self.request).map_err(busy)?, None),
            WhenBusy::Queue => self.join(id).await?,
        };
        let position = Arc::new(position);
        match handed_off.and_then(|handed_off| self.take_over(&position, handed_off)) {
            Some(hold) => Ok(hold),
            None => self.at_the_store(&position, when_busy).await,
        }
    }

    async fn join(&self, id: PositionId) -> Result<(Position, Option<HandOff>), Error> {
        match self.engine.queues.join(id, self.request)? {
            Joined::Head(position) => Ok((position, None)),
            Joined::Behind(position, turn) => {
                let _waiting = Waiting::begin(self.request.labels());
                // The sender goes only with the queue itself, which `position` keeps.
                let lost = |_| Error::unavailable("the queue of this process was lost; this is a bug worth reporting");
                Ok((position, turn.await.map_err(lost)?))
            }
        }
    }

    /// Begins the hold that was handed off, unless it was lost meanwhile.
    fn take_over(&self, position: &Arc<Position>, handed_off: HandOff) -> Option<Arc<Hold>> {
        let HandOff { mut owned, fence, granted } = handed_off;
        owned.take_position(position);
        let acquired = self.engine.world.now();
        owned.check(acquired).ok()?;
        Some(self.begin(position.id(), owned, fence, (granted, acquired)))
    }

    /// At the head of this process's queue: enters the store's queue, again if the session is lost meanwhile.
    async fn at_the_store(&self, position: &Arc<Position>, when_busy: WhenBusy) -> Result<Arc<Hold>, Error> {
        let mut backoff = Backoff::new(&self.engine.world, schedule::SHORTEST_PAUSE, schedule::LONGEST_PAUSE);
        loop {
            self.engine.check_open()?;
            *self.stage.lock() = Stage::Asking;
            match self.enter_once(position, when_busy).await {
                Ok((owned, fence, granted)) => {
                    return Ok(self.begin(position.id(), owned, Fence::new(fence, 0), (granted, granted)));
                }
                Err(error) => self.survive(error)?,
            }
            self.engine.world.runtime().sleep(backoff.pause()).await;
        }
    }

    fn begin(&self, id: PositionId, owned: OwnedEntry, fence: Fence, moments: (Moment, Moment)) -> Arc<Hold> {
        Hold::begin(self.engine, Arc::clone(self.request), self.span.clone(), id, owned, fence, moments)
    }

    /// One entry's way into the store's queue and to its head; returns the store's fence and when the lock was granted.
    async fn enter_once(
        &self,
        position: &Arc<Position>,
        when_busy: WhenBusy,
    ) -> Result<(OwnedEntry, u64, Moment), Error> {
        let engine = self.engine;
        let session = engine.sessions.get(self.request.ttl).await?;
        let mut entry = Entry::new(self.request.key.clone(), engine.next_number(), Arc::clone(&self.request.holder));
        entry.mode = self.request.options.mode;
        let mut owned = OwnedEntry::new(Arc::new(entry), session, Arc::clone(position), engine.world.clone());
        let grant = match owned.enter(when_busy).await? {
            Entered::Held(grant) => grant,
            Entered::Busy(holder) => {
                owned.forget();
                self.answered();
                return Err(busy(holder));
            }
            Entered::Queued => {
                self.answered();
                let _waiting = Waiting::begin(self.request.labels());
                owned.wait_turn().await?
            }
        };
        let mut now = self.answered();
        if let Some(least) = self.request.options.hold_at_least {
            owned.extend(least).await?;
            now = engine.world.now();
        }
        owned.check(now)?;
        Ok((owned, grant.fence, now))
    }

    /// The store has answered, now.
    fn answered(&self) -> Moment {
        let now = self.engine.world.now();
        self.engine.sessions.last_answer().advance(now);
        *self.stage.lock() = Stage::Queued;
        now
    }

    /// Whether to go on after `error`: the session was lost, or the store has not been out of reach for too long.
    fn survive(&self, error: Error) -> Result<(), Error> {
        match error.kind() {
            ErrorKind::Lost => {
                // That was an answer: if the time is up before the next one, the store was not silent.
                *self.stage.lock() = Stage::Queued;
                return Ok(());
            }
            ErrorKind::Unavailable => {}
            _ => return Err(error),
        }
        observe::store_unreachable(&self.request.key, &error);
        let since = self.engine.sessions.last_answer().load().max(self.begun);
        let too_long = self.engine.world.now().since(since) >= self.engine.defaults.connect_timeout;
        if self.request.options.tries_once() || (self.request.options.wait.is_none() && too_long) {
            return Err(error);
        }
        *self.stage.lock() = Stage::Unreachable(error);
        Ok(())
    }

    /// The time to wait passed: because the lock was held, or because the store did not answer.
    async fn timed_out(&self, waited: Duration) -> Error {
        let stage = std::mem::take(&mut *self.stage.lock());
        let holder = match stage {
            Stage::Unreachable(error) => return error,
            Stage::Asking => {
                let store = self.engine.defaults.store();
                return Error::unavailable(format!("{store} did not answer within {waited:?}"));
            }
            Stage::Local => self.engine.queues.head(&self.request.key).map(Arc::unwrap_or_clone),
            Stage::Queued => self.engine.holder_of(&self.request.key).await,
        };
        Error::new(ErrorKind::Timeout, format!("timed out after {waited:?} waiting for the lock")).with_holder(holder)
    }
}

fn busy(holder: Arc<Holder>) -> Error {
    Error::new(ErrorKind::Busy, "busy").with_holder(Some(Arc::unwrap_or_clone(holder)))
}

/// Counts one request as waiting, for as long as it lives.
struct Waiting<'a>(Labels<'a>);

impl<'a> Waiting<'a> {
    fn begin(labels: Labels<'a>) -> Self {
        observe::waiting(labels, 1.0);
        Self(labels)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        contain(|| observe::waiting(self.0, -1.0));
    }
}
