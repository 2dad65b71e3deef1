//! From request to hold.

mod attempt;
mod join;
mod local;
mod store;

pub(crate) use attempt::Position;
pub(crate) use join::Joins;

use super::context;
use super::core::Engine;
use super::hold::Hold;
use super::limits;
use super::observe;
use super::offer::{NoResult, Offer};
use super::order;
use super::owned::{HandOff, OwnedEntry};
use super::queue::{Joined, QueueName, Turn};
use super::request::{Caller, PositionId};
use crate::contract::Grant;
use crate::values::error::Error;
use crate::values::fence::{Fence, Fences};
use crate::values::keys::Keys;
use crate::values::options::Options;
use crate::world::clock::Moment;
use crate::world::panic::with_contained_wakers;
use attempt::Attempt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::Granted;

/// A hold, and whether the caller owns it.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// It is the caller's to release.
    Own(Arc<Hold>),
    /// The task ran under it already: whoever acquired it releases it. The position is the turn of a body inside that body.
    Joined(Arc<Hold>, Option<Position>),
}

/// A request for a lock; a future. It has begun already, and may have ended.
pub(crate) enum Acquiring {
    Ended(Option<Result<Acquired, Error>>),
    GoesOn(Pin<Box<dyn Future<Output = Result<Acquired, Error>> + Send>>),
}

impl Acquiring {
    fn ended(result: Result<Acquired, Error>) -> Self {
        Self::Ended(Some(result))
    }

    fn goes_on(future: impl Future<Output = Result<Acquired, Error>> + Send + 'static) -> Self {
        Self::GoesOn(Box::pin(with_contained_wakers(future)))
    }
}

impl Future for Acquiring {
    type Output = Result<Acquired, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ended(result) => result.take().map_or(Poll::Pending, Poll::Ready),
            Self::GoesOn(future) => future.as_mut().poll(context),
        }
    }
}

/// Takes the locks `keys`, or joins the hold on them that this task runs under. A store that answers at once is done with here:
/// only what has to wait becomes a future.
///
/// Dropping the future at any point leaves nothing behind: the [`OwnedEntry`](super::owned::OwnedEntry) that it has, here or
/// in the background, withdraws whatever was sent to the store.
pub(crate) fn acquire(engine: &Arc<Engine>, keys: Keys, options: Options, caller: Caller, joins: Joins) -> Acquiring {
    let outer = context::joinable(engine, &keys);
    // While a client is drained its bodies go on, and what they hold already is theirs.
    let may_begin = || if outer.is_some() { engine.check_goes_on() } else { engine.check_open() };
    let checked = options.check().and_then(|()| may_begin()).and_then(|()| engine.check_can(options.mode, &keys));
    if let Err(error) = checked {
        return Acquiring::ended(Err(error.with_key(&keys.first)));
    }
    let outer_bodies = context::outer(engine);
    let attempt = Attempt::new(engine, engine.request(keys, options, caller, context::holds(&outer_bodies)));
    if let Err(error) = attempt.check_candidate(outer.as_ref()) {
        return Acquiring::ended(Err(error.with_key(&attempt.request.key)));
    }
    if let Some(outer) = outer {
        return Acquiring::goes_on(async move {
            let turn =
                join::join(&attempt, &outer, joins).await.map_err(|error| error.with_key(&attempt.request.key))?;
            Ok(Acquired::Joined(outer.hold, turn))
        });
    }
    outer_bodies.iter().for_each(|body| order::note(body.hold.request(), &attempt.request));
    if let Err(error) = attempt.check_apart() {
        return Acquiring::ended(Err(error.with_key(&attempt.request.key)));
    }
    let span = observe::span(&attempt.request.key, &attempt.request.holder.name, &options);
    match attempt.begin_to_acquire(&span) {
        Ok(Begun::Hold(hold)) => Acquiring::ended(attempt.report(&span, Ok(hold))),
        Ok(Begun::Place(place)) => Acquiring::goes_on(async move {
            let hold = attempt.run(place, &span).await;
            attempt.report(&span, hold)
        }),
        Err(error) => Acquiring::ended(attempt.report(&span, Err(error))),
    }
}

/// How far a request has come at once.
enum Begun {
    Hold(Arc<Hold>),
    Place(Place),
}

/// Where a request is in the queue of this process.
enum Place {
    /// At the head; its entry may be on its way into the store already.
    Head(Arc<Position>, Option<OwnedEntry>),
    Behind(Position, Turn<HandOff>),
}

/// What came of a request at the head of its queue.
enum Taken {
    Hold(Arc<Hold>),
    /// The lock was lost before the caller was polled, and the position is still at the head.
    Lost(Arc<Position>),
    /// The caller was not polled for so long that lock and position went to others.
    Unclaimed,
}

impl Attempt {
    /// Joins the queue of this process, and at its head asks the store, if there is a session with it.
    fn begin_to_acquire(self: &Arc<Self>, span: &tracing::Span) -> Result<Begun, Error> {
        let name = QueueName::Lock(self.request.key.clone());
        let position = match self.engine.queues.join(&name, self.engine.next_number(), &self.request)? {
            Joined::Behind(position, turn) => return Ok(Begun::Place(Place::Behind(position, turn))),
            Joined::Head(position) => Arc::new(position),
        };
        // What needs more than one answer has time to wait for it.
        let session = match self.request.options.hold_at_least {
            None => self.engine.sessions.open_at(self.request.ttl, self.begun),
            Some(_) => None,
        };
        let Some(session) = session else { return Ok(Begun::Place(Place::Head(position, None))) };
        let mut owned = self.new_entry(&position, session);
        position.asks(self.begun);
        if let Some(grant) = owned.begin_to_enter(self.when_busy()) {
            let at = self.now();
            if owned.check(at).is_ok() {
                owned.note_held(at);
                return Ok(Begun::Hold(self.hold(owned, position.id(), fences(grant), (at, at), span)));
            }
        }
        Ok(Begun::Place(Place::Head(position, Some(owned))))
    }

    fn report(&self, span: &tracing::Span, hold: Result<Arc<Hold>, Error>) -> Result<Acquired, Error> {
        let request = &self.request;
        match hold {
            Ok(hold) => {
                observe::acquired(span, request.labels(), hold.fence(), hold.acquired().since(self.begun));
                Ok(Acquired::Own(hold))
            }
            Err(error) => {
                let error = error.with_key(&request.key);
                error.holder().into_iter().for_each(|holder| limits::note(request, holder));
                observe::refused(span, request.labels(), &error);
                Err(error)
            }
        }
    }

    /// Goes on from its place in the queue of this process, and at its head takes over what was handed off, or goes to the
    /// store: again if the lock came and went because the caller was not polled.
    async fn run(self: &Arc<Self>, place: Place, span: &tracing::Span) -> Result<Arc<Hold>, Error> {
        let name = QueueName::Lock(self.request.key.clone());
        let mut place = Some(place);
        loop {
            let at_head = match place.take() {
                Some(Place::Head(position, entry)) => Some((position, None, entry)),
                Some(Place::Behind(position, turn)) => {
                    let at_head = Box::pin(self.wait_behind(position, turn)).await?;
                    at_head.map(|(position, handed_off)| (Arc::new(position), handed_off, None))
                }
                None => {
                    let at_head = self.join(&name).await?;
                    at_head.map(|(position, handed_off)| (Arc::new(position), handed_off, None))
                }
            };
            let taken = match at_head {
                None => Taken::Unclaimed,
                Some((position, Some(handed_off), _)) => self.take_over(&position, handed_off, span),
                Some((position, None, entry)) => self.take(position, entry, span).await?,
            };
            match taken {
                Taken::Hold(hold) => return Ok(hold),
                _ if self.is_over() => return Err(self.timeout(None)),
                Taken::Lost(position) => place = Some(Place::Head(position, None)),
                Taken::Unclaimed => {}
            }
        }
    }

    /// Begins the hold that was handed off, unless it was lost meanwhile.
    fn take_over(&self, position: &Arc<Position>, handed_off: HandOff, span: &tracing::Span) -> Taken {
        let HandOff { mut owned, fence, granted } = handed_off;
        owned.take_position(position);
        owned.note_held(granted);
        self.begin(owned, fence.into(), granted, span)
    }

    /// Gets the lock from the store.
    async fn take(
        self: &Arc<Self>,
        position: Arc<Position>,
        entry: Option<OwnedEntry>,
        span: &tracing::Span,
    ) -> Result<Taken, Error> {
        let limit = self.request.unclaimed_limit();
        // The position goes with the work: a caller that is not polled must not keep it.
        let work = Box::pin(Arc::clone(self).at_the_store(position, entry));
        let stopping = Arc::clone(self);
        let over = async move { stopping.stopping().await };
        match Offer::begin(&self.engine.world, (limit, over), work, unclaimed).await {
            Ok(granted) => {
                let Granted { owned, grant, at } = granted?;
                // Granted a while ago, and taken only now.
                self.engine.check_open()?;
                Ok(self.begin(owned, fences(grant), at, span))
            }
            Err(NoResult::Unclaimed) => Ok(Taken::Unclaimed),
            Err(NoResult::Panicked) => Err(panicked()),
        }
    }

    /// Begins the hold of what was granted then, unless it was lost meanwhile.
    fn begin(&self, owned: OwnedEntry, fences: Fences, granted: Moment, span: &tracing::Span) -> Taken {
        let acquired = self.now();
        let Some(position) = owned.position() else { return Taken::Unclaimed };
        if owned.check(acquired).is_err() {
            return Taken::Lost(position);
        }
        let id = position.id();
        // Only the entry keeps it from now on.
        drop(position);
        Taken::Hold(self.hold(owned, id, fences, (granted, acquired), span))
    }

    fn hold(
        &self,
        owned: OwnedEntry,
        position: PositionId,
        fences: Fences,
        (granted, acquired): (Moment, Moment),
        span: &tracing::Span,
    ) -> Arc<Hold> {
        let (request, span) = (Arc::clone(&self.request), span.clone());
        Hold::begin(&self.engine, request, span, position, owned, fences, (granted, acquired))
    }
}

fn fences(grant: Grant) -> Fences {
    Fences { first: Fence::new(grant.fence, 0), others: grant.others }
}

/// The lock was granted to a caller that is not polled: it is withdrawn.
fn unclaimed(granted: Result<Granted, Error>) {
    if let Ok(Granted { owned, .. }) = granted {
        let entry = owned.entry();
        observe::unclaimed(&entry.key, &entry.holder);
    }
}

fn panicked() -> Error {
    Error::unavailable("the store panicked while a lock was acquired; this is a bug worth reporting")
}
