//! A body while it runs: polled in the context of its hold, and stopped when that is over.

use super::guard::Guard;
use crate::engine::context::{Nest, nest};
use crate::engine::hold::Hold;
use crate::values::end::EndReason;
use crate::values::options::{OnLost, Options};
use crate::world::panic::with_contained_wakers;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What each body does in its own way.
pub(super) trait Runs {
    /// Polls it; when it is ready, its value is kept.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
    /// Drops it where it is.
    fn stop(&mut self);
}

/// What is known of the hold when a body is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It was acquired a moment ago, in the same poll, and the clock was looked at then.
    JustAcquired,
    None,
}

/// How a body ended.
pub(super) enum Ending {
    Returned,
    Panicked(Panic),
    Stopped(EndReason),
    /// The body's own limit passed, where the hold does not have it.
    OverLimit(Duration),
}

pub(super) type Panic = Box<dyn Any + Send>;
type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that runs, without the body itself.
pub(super) struct Running {
    guard: Guard,
    nest: Nest,
    watched: Option<Watched>,
    /// Whether the body was polled.
    has_begun: bool,
    /// A limit of the body's own, where the hold does not have it.
    limit: Option<(Duration, Timer)>,
    /// Named in the errors.
    function: Option<&'static str>,
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

impl Running {
    pub(super) fn new(guard: Guard, options: &Options, function: Option<&'static str>) -> Self {
        let hold = Arc::clone(guard.hold());
        // A hold of its own ends by itself, and the body with it. A joined one must not be ended for an inner body's
        // limit, and a body that goes on after a loss still ends at its own.
        let limit = options.hold_at_most.filter(|_| !guard.is_owner() || options.on_lost == OnLost::Continue);
        let limit = limit.map(|limit| {
            let timer = hold.world().runtime().sleep(limit);
            (limit, Box::pin(with_contained_wakers(timer)) as Timer)
        });
        let nest = nest(guard.body());
        let watched = (options.on_lost == OnLost::Cancel).then_some(Watched { hold, ended: None });
        Self { guard, nest, watched, has_begun: false, limit, function }
    }

    pub(super) fn function(&self) -> Option<&'static str> {
        self.function
    }

    pub(super) fn into_guard(self) -> Guard {
        self.guard
    }

    /// Polls the body, unless it has to stop.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, body: &mut dyn Runs, proof: Proof) -> Poll<Ending> {
        // Before the body gets a turn: after a pause of the process the clock knows first. One that goes on after a loss
        // does not begin after it.
        let must_be_held = (self.watched.is_some() || !self.has_begun) && proof == Proof::None;
        self.has_begun = true;
        if let Some(reason) = must_be_held.then(|| self.guard.hold().loss()).flatten() {
            return Poll::Ready(self.stop(body, Ending::Stopped(reason)));
        }
        let mut polled = Poll::Pending;
        // With its last poll the body is gone: all that it holds is dropped under the lock.
        let work = &mut || {
            polled = body.poll(context);
            if polled.is_ready() {
                body.stop();
            }
        };
        match (self.within(work), polled) {
            (Err(panic), _) => return Poll::Ready(self.stop(body, Ending::Panicked(panic))),
            (Ok(()), Poll::Ready(())) => return Poll::Ready(Ending::Returned),
            (Ok(()), Poll::Pending) => {}
        }
        if let Some(Poll::Ready(reason)) = self.watched.as_mut().map(|watched| watched.poll_ended(context)) {
            return Poll::Ready(self.stop(body, Ending::Stopped(reason)));
        }
        if let Some((limit, timer)) = &mut self.limit
            && timer.as_mut().poll(context).is_ready()
        {
            let limit = *limit;
            return Poll::Ready(self.stop(body, Ending::OverLimit(limit)));
        }
        Poll::Pending
    }

    /// Drops the body where it is. Its destructors may panic; that is the body's panic then.
    fn stop(&self, body: &mut dyn Runs, ending: Ending) -> Ending {
        match self.within(&mut || body.stop()) {
            Ok(()) => ending,
            Err(panic) => Ending::Panicked(panic),
        }
    }

    /// Drops the body as its caller drops the call, which may be at the end of a thread.
    pub(super) fn drop_body(&self, body: &mut dyn Runs) {
        let mut dropped = Ok(());
        self.guard.hold().span().in_scope(|| {
            self.nest.drop_within(&mut || dropped = catch_unwind(AssertUnwindSafe(|| body.stop())));
        });
        if let Err(panic) = dropped
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    fn within(&self, work: &mut dyn FnMut()) -> Result<(), Panic> {
        within(&self.guard, &self.nest, work)
    }
}

/// Does `work` as a part of the body that runs under `guard`.
pub(super) fn within(guard: &Guard, nest: &Nest, work: &mut dyn FnMut()) -> Result<(), Panic> {
    guard.hold().span().in_scope(|| nest.within(|| catch_unwind(AssertUnwindSafe(work))))
}
