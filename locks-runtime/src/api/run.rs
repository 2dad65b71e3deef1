//! Running a body for as long as its lock is held, and no longer.

use super::guard::Guard;
use crate::engine::hold::Hold;
use crate::engine::{context, observe};
use crate::values::end::EndReason;
use crate::values::error::Error;
use crate::values::options::{OnLost, Options};
use crate::world::panic::with_contained_wakers;
use crate::world::runtime::blocking;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs `body` under a lock that is held, and releases it.
pub(crate) async fn run_under<T, F, Fut>(guard: Guard, options: &Options, body: F) -> Result<T, Error>
where
    F: FnOnce(Guard) -> Fut,
    Fut: Future<Output = T>,
{
    let hold = Arc::clone(guard.hold());
    // A hold of its own ends by itself, and the body with it. A joined one must not be ended for an inner body's
    // limit, and a body that goes on after a loss still ends at its own.
    let limit = options.hold_at_most.filter(|_| !guard.is_owner() || options.on_lost == OnLost::Continue);
    let running = Running {
        body: Some(Box::pin(body(Guard::joining(Arc::clone(&hold))))),
        watched: (options.on_lost == OnLost::Cancel).then(|| Watched { hold: Arc::clone(&hold), ended: None }),
        limit: limit.map(|limit| {
            let timer = hold.world().runtime().sleep(limit);
            (limit, Box::pin(with_contained_wakers(timer)) as Timer)
        }),
    };
    let ending = tracing::Instrument::instrument(context::under(guard.body(), running), hold.span().clone()).await;
    finish(guard, ending).await
}

/// Runs `body` on this thread under a lock that is held, and releases it.
pub(crate) fn run_under_blocking<T>(guard: Guard, body: impl FnOnce(Guard) -> T) -> Result<T, Error> {
    let hold = Arc::clone(guard.hold());
    let result = hold.span().in_scope(|| {
        catch_unwind(AssertUnwindSafe(|| context::under_sync(guard.body(), || body(Guard::joining(Arc::clone(&hold))))))
    });
    blocking(finish(guard, result.map_or_else(Ending::Panicked, Ending::Returned)))
}

/// Releases the lock, and returns what became of the body.
async fn finish<T>(guard: Guard, ending: Ending<T>) -> Result<T, Error> {
    let (hold, is_owner) = (Arc::clone(guard.hold()), guard.is_owner());
    // The value stands: a release that failed is logged there, and goes on in the background.
    let (lost, _) = guard.end().await;
    match ending {
        Ending::Returned(value) => {
            if let Some(reason) = lost {
                observe::overran(hold.key(), &reason);
            }
            Ok(value)
        }
        Ending::Panicked(panic) => resume_unwind(panic),
        Ending::Stopped(reason) => Err(hold.lost_error(&reason)),
        Ending::OverLimit(limit) => {
            if !is_owner {
                hold.note_limit();
            }
            Err(hold.over_limit_error(limit))
        }
    }
}

/// How a body ended.
enum Ending<T> {
    Returned(T),
    Panicked(Box<dyn Any + Send>),
    Stopped(EndReason),
    /// The body's own limit passed, where the hold does not have it.
    OverLimit(Duration),
}

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that runs while its lock is held.
struct Running<Fut> {
    /// Gone once it ended.
    body: Option<Pin<Box<Fut>>>,
    watched: Option<Watched>,
    /// A limit of the body's own, where the hold does not have it.
    limit: Option<(Duration, Timer)>,
}

/// The hold that a body must not outlive.
struct Watched {
    hold: Arc<Hold>,
    /// Begun once the body has to wait.
    ended: Option<Pin<Box<dyn Future<Output = EndReason> + Send>>>,
}

impl Watched {
    /// Why the body must stop now, if so.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<EndReason> {
        let hold = &self.hold;
        let ended = self.ended.get_or_insert_with(|| {
            let hold = Arc::clone(hold);
            Box::pin(async move { with_contained_wakers(hold.ended()).await })
        });
        ended.as_mut().poll(context)
    }
}

impl<Fut: Future> Future for Running<Fut> {
    type Output = Ending<Fut::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the body gets a turn: after a pause of the process the clock knows first.
        if let Some(reason) = this.watched.as_ref().and_then(|watched| watched.hold.loss()) {
            return Poll::Ready(this.stop(Ending::Stopped(reason)));
        }
        let Some(body) = &mut this.body else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ending::Returned(value)),
            Err(panic) => return Poll::Ready(Ending::Panicked(panic)),
            Ok(Poll::Pending) => {}
        }
        if let Some(Poll::Ready(reason)) = this.watched.as_mut().map(|watched| watched.poll_ended(context)) {
            return Poll::Ready(this.stop(Ending::Stopped(reason)));
        }
        if let Some((limit, timer)) = &mut this.limit
            && timer.as_mut().poll(context).is_ready()
        {
            let limit = *limit;
            return Poll::Ready(this.stop(Ending::OverLimit(limit)));
        }
        Poll::Pending
    }
}

impl<Fut: Future> Running<Fut> {
    /// Drops the body where it is. Its destructors may panic; that is the body's panic then.
    fn stop(&mut self, ending: Ending<Fut::Output>) -> Ending<Fut::Output> {
        let body = self.body.take();
        match catch_unwind(AssertUnwindSafe(|| drop(body))) {
            Ok(()) => ending,
            Err(panic) => Ending::Panicked(panic),
        }
    }
}
