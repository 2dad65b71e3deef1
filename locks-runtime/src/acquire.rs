//! From request to hold.

use crate::backend::{Entered, Entry, Patience};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::fence::Fence;
use crate::guard::Guard;
use crate::hold::{Grant, Hold};
use crate::holder::Holder;
use crate::key::Key;
use crate::locks::Engine;
use crate::observe::{self, Labels};
use crate::options::Options;
use crate::queue::{Party, PlaceId, Stood};
use crate::schedule;
use crate::standing::{Baton, Place, Standing};
use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who asks, as the program's text has it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What it calls itself.
    pub(crate) name: Cow<'static, str>,
    /// `file:line`.
    pub(crate) origin: Cow<'static, str>,
    /// The key as it is written, where an attribute has it.
    pub(crate) template: &'static str,
}

/// What is asked for, by whom.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) key: Key,
    pub(crate) options: Options,
    pub(crate) holder: Arc<Holder>,
    pub(crate) template: &'static str,
    /// The holds this task is under, innermost first.
    pub(crate) under: Vec<Arc<Hold>>,
}

/// A new number for a place or an entry: unique in this process, so no retry is taken for another attempt.
fn mint() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Takes the lock, or joins the hold on it that this task is under.
///
/// Dropping the future at any point leaves nothing behind: whatever was sent to the store is withdrawn in the background.
pub(crate) async fn acquire(engine: &Arc<Engine>, request: Request) -> Result<Guard, Error> {
    request.options.check().map_err(|error| error.with_key(&request.key))?;
    engine.check_open()?;
    if let Some(hold) = joined(engine, &request) {
        return Ok(Guard::joining(hold));
    }
    let span = observe::span(&request.key, &request.holder.name, &request.options);
    let labels = Labels { name: &request.holder.name, template: request.template };
    let begun = engine.clock.now();
    let attempt = Attempt { engine, request: &request, span: &span, begun, stage: Mutex::default() };
    match attempt.run().await {
        Ok(grant) => {
            observe::acquired(&span, labels, grant.fence, grant.acquired.since(begun));
            Ok(Guard::owning(Hold::begin(grant)))
        }
        Err(error) => {
            let error = error.with_key(&request.key);
            observe::refused(&span, labels, &error);
            Err(error)
        }
    }
}

/// The hold on the same key that this task is already under.
fn joined(engine: &Engine, request: &Request) -> Option<Arc<Hold>> {
    let mut under = request.under.iter();
    under.find(|hold| hold.client() == engine.id && hold.key() == &request.key).cloned()
}

/// One request on its way.
struct Attempt<'a> {
    engine: &'a Arc<Engine>,
    request: &'a Request,
    span: &'a tracing::Span,
    begun: Moment,
    stage: Mutex<Stage>,
}

/// How far a request has come, for the error if its time is up.
#[derive(Debug, Default)]
enum Stage {
    /// In this process's line.
    #[default]
    Local,
    /// The store was asked and has not answered.
    Asking,
    /// The store could not be reached.
    Trouble(Error),
    /// In the store's line.
    Queued,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Grant, Error> {
        let (patience, limit) = match self.request.options.wait {
            // Nobody is waited for, but the store must be.
            Some(Duration::ZERO) => (Patience::Try, Some(self.engine.defaults.connect_timeout)),
            wait => (Patience::Wait, wait),
        };
        let mut taken = pin!(async {
            let (place, baton) = match patience {
                Patience::Try => (self.try_stand(mint())?, None),
                Patience::Wait => self.stand(mint()).await?,
            };
            let place = Arc::new(place);
            match baton.and_then(|baton| self.take_over(&place, baton)) {
                Some(grant) => Ok(grant),
                None => self.at_the_store(place, patience).await,
            }
        });
        let Some(limit) = limit else { return taken.await };
        match self.engine.runtime.within(limit, taken.as_mut()).await {
            Some(result) => result,
            // Rare, and not to be room in every future that acquires.
            None => Err(Box::pin(self.gave_up(limit)).await),
        }
    }

    fn party(&self) -> Party {
        let under = self.request.under.iter().filter(|hold| hold.client() == self.engine.id);
        let options = &self.request.options;
        Party {
            under: under.map(|hold| hold.place_id()).collect(),
            holder: Arc::clone(&self.request.holder),
            takes_over: options.hold_at_least.is_none().then(|| self.ttl()),
        }
    }

    fn try_stand(&self, id: PlaceId) -> Result<Place, Error> {
        self.engine.lines.try_stand(&self.request.key, id, self.party()).map_err(busy)
    }

    async fn stand(&self, id: PlaceId) -> Result<(Place, Option<Baton>), Error> {
        match self.engine.lines.stand(&self.request.key, id, self.party())? {
            Stood::First(place) => Ok((place, None)),
            Stood::Behind(place, turn) => {
                let _waiting = Waiting::begin(self.labels());
                // The sender goes only with the line itself, which `place` keeps.
                let baton = turn.await.map_err(|_| Error::unavailable("the line of this process was lost"))?;
                Ok((place, baton))
            }
        }
    }

    /// The hold that the one before has passed on, unless it was lost meanwhile.
    fn take_over(&self, place: &Arc<Place>, baton: Baton) -> Option<Grant> {
        let Baton { mut standing, fence, granted } = baton;
        standing.stand_at(place);
        let acquired = self.engine.clock.now();
        standing.check(acquired).ok()?;
        Some(self.grant(standing, fence, (granted, acquired), Arc::clone(place)))
    }

    /// At the head of this process's line: enters the store's line, again if the session is lost meanwhile.
    async fn at_the_store(&self, place: Arc<Place>, patience: Patience) -> Result<Grant, Error> {
        let mut failures = 0;
        let (standing, number, granted) = loop {
            self.engine.check_open()?;
            *self.stage() = Stage::Asking;
            match self.enter_once(&place, patience).await {
                Ok(entered) => break entered,
                Err(error) => self.survive(error)?,
            }
            failures += 1;
            self.engine.runtime.sleep(schedule::backoff(failures, Duration::from_secs(1))).await;
        };
        Ok(self.grant(standing, Fence::new(number, 0), (granted, granted), place))
    }

    fn grant(
        &self,
        standing: Standing,
        fence: Fence,
        (granted, acquired): (Moment, Moment),
        place: Arc<Place>,
    ) -> Grant {
        let (entry, member) = standing.settle();
        Grant {
            entry,
            fence,
            granted,
            acquired,
            ttl: self.ttl(),
            member,
            place,
            client: self.engine.id,
            template: self.request.template,
            span: self.span.clone(),
            hold_at_least: self.request.options.hold_at_least,
            hold_at_most: self.request.options.hold_at_most,
            release_wait: self.engine.defaults.connect_timeout,
            runtime: self.engine.runtime.clone(),
            clock: self.engine.clock,
        }
    }

    fn ttl(&self) -> Duration {
        self.request.options.ttl.unwrap_or(self.engine.defaults.ttl)
    }

    /// One entry's way into the store's line and to its head.
    async fn enter_once(&self, place: &Arc<Place>, patience: Patience) -> Result<(Standing, u64, Moment), Error> {
        let options = &self.request.options;
        let member = self.engine.sessions.join(self.ttl()).await?;
        let entry = Entry {
            key: self.request.key.clone(),
            number: mint(),
            holder: Arc::clone(&self.request.holder),
            mode: options.mode,
        };
        let mut standing = Standing::new(Arc::new(entry), Arc::new(member), self.engine.runtime.clone());
        standing.stand_at(place);
        let number = match standing.enter(patience).await? {
            Entered::Held(number) => number,
            Entered::Busy(holder) => {
                standing.settle();
                self.answered();
                return Err(busy(holder));
            }
            Entered::Queued => {
                self.answered();
                let _waiting = Waiting::begin(self.labels());
                standing.turn().await?
            }
        };
        let mut now = self.answered();
        if let Some(least) = options.hold_at_least {
            standing.keep(least).await?;
            now = self.engine.clock.now();
        }
        standing.check(now)?;
        Ok((standing, number, now))
    }

    /// The store has answered, now.
    fn answered(&self) -> Moment {
        let now = self.engine.clock.now();
        self.engine.sessions.answered().advance(now);
        *self.stage() = Stage::Queued;
        now
    }

    /// Whether to go on after `error`: the session was lost, or the store cannot be reached but not for too long.
    fn survive(&self, error: Error) -> Result<(), Error> {
        match error.kind() {
            ErrorKind::Lost => {
                // That was an answer: if the time is up before the next one, it was not for want of one.
                *self.stage() = Stage::Queued;
                return Ok(());
            }
            ErrorKind::Unavailable => {}
            _ => return Err(error),
        }
        observe::store_unreachable(&self.request.key, &error);
        let since = self.engine.sessions.answered().load().max(self.begun);
        let too_long = self.engine.clock.now().since(since) >= self.engine.defaults.connect_timeout;
        if self.request.options.tries_once() || (self.request.options.wait.is_none() && too_long) {
            return Err(error);
        }
        *self.stage() = Stage::Trouble(error);
        Ok(())
    }

    /// The time to wait passed: because the lock was taken, or because the store did not answer.
    async fn gave_up(&self, waited: Duration) -> Error {
        let stage = std::mem::take(&mut *self.stage());
        let holder = match stage {
            Stage::Trouble(error) => return error,
            Stage::Asking => return Error::unavailable(format!("the store did not answer within {waited:?}")),
            Stage::Local => self.engine.lines.head(&self.request.key).map(Arc::unwrap_or_clone),
            Stage::Queued => self.engine.holder(&self.request.key).await,
        };
        Error::new(ErrorKind::Timeout, format!("not free within {waited:?}; gave up the place in line"))
            .with_holder(holder)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(&self) -> Labels<'_> {
        Labels { name: &self.request.holder.name, template: self.request.template }
    }
}

fn busy(holder: Arc<Holder>) -> Error {
    Error::new(ErrorKind::Busy, "busy").with_holder(Some(Arc::unwrap_or_clone(holder)))
}

/// Counts somebody as waiting, for as long as it lives.
struct Waiting<'a>(Labels<'a>);

impl<'a> Waiting<'a> {
    fn begin(labels: Labels<'a>) -> Self {
        observe::waiting(labels, 1.0);
        Self(labels)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        observe::waiting(self.0, -1.0);
    }
}
