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
use super::observe;
use super::offer::{NoResult, Offer};
use super::owned::{HandOff, OwnedEntry};
use super::queue::QueueName;
use super::request::Caller;
use crate::values::error::Error;
use crate::values::fence::Fence;
use crate::values::key::Key;
use crate::values::options::Options;
use crate::world::clock::Moment;
use attempt::Attempt;
use std::sync::Arc;
use store::Granted;

/// A hold, and whether the caller owns it.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// It is the caller's to release.
    Own(Arc<Hold>),
    /// The task ran under it already: whoever acquired it releases it. The position is the turn of a body inside that body.
    Joined(Arc<Hold>, Option<Position>),
}

/// Takes the lock `key`, or joins the hold on it that this task runs under.
///
/// Dropping the future at any point leaves nothing behind: the [`OwnedEntry`](super::owned::OwnedEntry) that it has, here or
/// in the background, withdraws whatever was sent to the store.
pub(crate) async fn acquire(
    engine: &Arc<Engine>,
    key: Key,
    options: Options,
    caller: Caller,
    joins: Joins,
) -> Result<Acquired, Error> {
    options.check().and_then(|()| engine.check_open()).map_err(|error| error.with_key(&key))?;
    let outer = context::joinable(engine, &key);
    let attempt = Attempt::new(engine, engine.request(key, options, caller, context::positions(engine)));
    let request = &attempt.request;
    if let Some(outer) = outer {
        let joined = Box::pin(join::join(&attempt, &outer, joins)).await;
        let turn = joined.map_err(|error| error.with_key(&request.key))?;
        return Ok(Acquired::Joined(outer.hold, turn));
    }
    let span = observe::span(&request.key, &request.holder.name, &options);
    match attempt.run(&span).await {
        Ok(hold) => {
            observe::acquired(&span, request.labels(), hold.fence(), hold.acquired().since(attempt.begun));
            Ok(Acquired::Own(hold))
        }
        Err(error) => {
            let error = error.with_key(&request.key);
            observe::refused(&span, request.labels(), &error);
            Err(error)
        }
    }
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
    /// Joins the queue of this process, and at its head takes over what was handed off, or goes to the store: again if the
    /// lock came and went because the caller was not polled.
    async fn run(self: &Arc<Self>, span: &tracing::Span) -> Result<Arc<Hold>, Error> {
        let name = QueueName::Lock(self.request.key.clone());
        let mut at_head = None;
        loop {
            let (position, handed_off) = match at_head.take() {
                Some(position) => (position, None),
                None => match self.join(&name).await? {
                    Some((position, handed_off)) => (Arc::new(position), handed_off),
                    None if self.is_over() => return Err(self.timeout(None)),
                    None => continue,
                },
            };
            let taken = match handed_off {
                Some(handed_off) => self.take_over(&position, handed_off, span),
                None => self.take(position, span).await?,
            };
            match taken {
                Taken::Hold(hold) => return Ok(hold),
                _ if self.is_over() => return Err(self.timeout(None)),
                Taken::Lost(position) => at_head = Some(position),
                Taken::Unclaimed => {}
            }
        }
    }

    /// Begins the hold that was handed off, unless it was lost meanwhile.
    fn take_over(&self, position: &Arc<Position>, handed_off: HandOff, span: &tracing::Span) -> Taken {
        let HandOff { mut owned, fence, granted } = handed_off;
        owned.take_position(position);
        owned.note_held(granted);
        self.begin(owned, fence, granted, span)
    }

    /// Gets the lock from the store.
    async fn take(self: &Arc<Self>, position: Arc<Position>, span: &tracing::Span) -> Result<Taken, Error> {
        let limit = self.request.unclaimed_limit();
        // The position goes with the work: a caller that is not polled must not keep it.
        let work = Box::pin(Arc::clone(self).at_the_store(position));
        match Offer::begin(&self.engine.world, limit, work, unclaimed).await {
            Ok(granted) => {
                let Granted { owned, fence, at } = granted?;
                Ok(self.begin(owned, Fence::new(fence, 0), at, span))
            }
            Err(NoResult::Unclaimed) => Ok(Taken::Unclaimed),
            Err(NoResult::Panicked) => Err(panicked()),
        }
    }

    /// Begins the hold of what was granted then, unless it was lost meanwhile.
    fn begin(&self, owned: OwnedEntry, fence: Fence, granted: Moment, span: &tracing::Span) -> Taken {
        let acquired = self.now();
        let Some(position) = owned.position() else { return Taken::Unclaimed };
        if owned.check(acquired).is_err() {
            return Taken::Lost(position);
        }
        let (request, span) = (Arc::clone(&self.request), span.clone());
        let id = position.id();
        // Only the entry keeps it from now on.
        drop(position);
        Taken::Hold(Hold::begin(&self.engine, request, span, id, owned, fence, (granted, acquired)))
    }
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
