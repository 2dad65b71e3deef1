//! Running a body for as long as its lock is held, and no longer.
//!
//! Nearly nothing of it is generic over the body: each locked function has code of its own only to poll and drop its body,
//! so that a program with hundreds of them compiles.

use super::guard::Guard;
use super::running::{Ending, Proof, Running, Runs, within};
use crate::engine::context::nest;
use crate::engine::hold::{Hold, Release};
use crate::engine::observe;
use crate::values::end::EndReason;
use crate::values::error::Error;
use crate::values::options::Options;
use crate::world::panic::with_contained_wakers;
use crate::world::runtime::blocking;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request for the lock of a body.
pub type Acquiring = Boxed<Result<Held, Error>>;

/// A lock that was acquired for a body, which has not begun. Dropping it releases the lock in the background.
#[must_use = "the body runs when this is given to `run`"]
pub struct Held {
    hold: Arc<Hold>,
    life: Box<dyn Surrounds + Send>,
}

impl Held {
    /// `function` is named in errors.
    pub(crate) fn new(guard: Guard, options: &Options, function: Option<&'static str>) -> Self {
        let hold = Arc::clone(guard.hold());
        Self { hold, life: Box::new(Life::Running(Running::new(guard, options, function))) }
    }

    /// The guard that the body sees.
    pub fn guard(&self) -> Guard {
        Guard::joining(Arc::clone(&self.hold))
    }

    pub(super) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    /// Runs `body` while the lock is held, and releases the lock.
    pub fn run<Fut: Future>(self, body: Fut) -> Run<Fut> {
        Run::new(Stage::Held(self.life), body)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("hold", &self.hold).finish_non_exhaustive()
    }
}

/// Runs `body` once its lock is acquired, and releases the lock.
///
/// # Errors
///
/// Every kind of [`Error`].
///
/// # Cancel safety
///
/// Dropping it withdraws the request, or drops the body and releases the lock, in the background.
pub fn run<Fut: Future>(acquiring: Acquiring, body: Fut) -> Run<Fut> {
    Run::new(Stage::Acquiring(acquiring), body)
}

/// A body that runs under its lock.
///
/// Dropping it drops the body and releases the lock, in the background.
pub struct Run<Fut: Future> {
    stage: Stage,
    body: Body<Fut>,
}

impl<Fut: Future> Run<Fut> {
    fn new(stage: Stage, body: Fut) -> Self {
        Self { stage, body: Body { future: Some(Box::pin(body)), value: None } }
    }
}

impl<Fut: Future> Future for Run<Fut> {
    type Output = Result<Fut::Output, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { stage, body } = self.get_mut();
        match ready!(stage.poll(context, body)) {
            Some(error) => Poll::Ready(Err(error)),
            None => match body.value.take() {
                Some(value) => Poll::Ready(Ok(value)),
                None => without_a_value(),
            },
        }
    }
}

/// Nothing in it is ever pinned where it is: the future of the body is in a box.
impl<Fut: Future> Unpin for Run<Fut> {}

impl<Fut: Future> Drop for Run<Fut> {
    fn drop(&mut self) {
        self.stage.drop_body(&mut self.body);
    }
}

impl<Fut: Future> fmt::Debug for Run<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("stage", &self.stage.name()).finish_non_exhaustive()
    }
}

/// A body, as far as it has come.
struct Body<Fut: Future> {
    future: Option<Pin<Box<Fut>>>,
    value: Option<Fut::Output>,
}

impl<Fut: Future> Runs for Body<Fut> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        self.value = Some(ready!(future.as_mut().poll(context)));
        Poll::Ready(())
    }

    fn stop(&mut self) {
        self.future = None;
    }
}

enum Stage {
    Acquiring(Acquiring),
    Held(Box<dyn Surrounds + Send>),
    Over,
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Acquiring(_) => "acquiring",
            Self::Held(_) => "held",
            Self::Over => "over",
        }
    }

    /// `None` if the body has returned.
    fn poll(&mut self, context: &mut Context<'_>, body: &mut dyn Runs) -> Poll<Option<Error>> {
        let mut proof = Proof::None;
        if let Self::Acquiring(acquiring) = self {
            proof = Proof::JustAcquired;
            match ready!(acquiring.as_mut().poll(context)) {
                Ok(held) => *self = Self::Held(held.life),
                Err(error) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(error));
                }
            }
        }
        let Self::Held(life) = self else { return Poll::Pending };
        let error = ready!(life.poll(context, body, proof));
        *self = Self::Over;
        Poll::Ready(error)
    }

    fn drop_body(&mut self, body: &mut dyn Runs) {
        if let Self::Held(life) = self {
            life.drop_body(body);
        }
    }
}

/// What surrounds a body. As an object, because the compiler would look into all of it, for each body anew, to see whether
/// its future is `Send`.
trait Surrounds {
    /// `None` if the body has returned.
    fn poll(&mut self, context: &mut Context<'_>, body: &mut dyn Runs, proof: Proof) -> Poll<Option<Error>>;
    /// Drops the body as its caller drops the call: its destructors see the hold, as the body did.
    fn drop_body(&mut self, body: &mut dyn Runs);
}

enum Life {
    Running(Running),
    Releasing(Boxed<Result<(), Error>>),
    Over,
}

impl Surrounds for Life {
    fn poll(&mut self, context: &mut Context<'_>, body: &mut dyn Runs, proof: Proof) -> Poll<Option<Error>> {
        loop {
            *self = match self {
                Self::Running(running) => {
                    let ending = ready!(running.poll(context, body, proof));
                    let Self::Running(running) = mem::replace(self, Self::Over) else { continue };
                    let function = running.function();
                    match begin_to_finish(running.into_guard(), ending) {
                        Finishing::Done(result) => {
                            return Poll::Ready(result.err().map(|error| named(error, function)));
                        }
                        Finishing::Goes(rest) => Self::Releasing(Box::pin(async move {
                            with_contained_wakers(rest.finish()).await.map_err(|error| named(error, function))
                        })),
                    }
                }
                Self::Releasing(releasing) => {
                    let result = ready!(releasing.as_mut().poll(context));
                    *self = Self::Over;
                    return Poll::Ready(result.err());
                }
                Self::Over => return Poll::Pending,
            };
        }
    }

    fn drop_body(&mut self, body: &mut dyn Runs) {
        if let Self::Running(running) = self {
            running.drop_body(body);
        }
    }
}

/// Runs `body` on this thread under a lock that is held, and releases it.
pub(crate) fn run_under_blocking<T>(guard: Guard, body: impl FnOnce(Guard) -> T) -> Result<T, Error> {
    let (mut body, mut value) = (Some(body), None);
    let hold = guard.hold();
    // It cannot be stopped, but it does not begin.
    let ending = match hold.loss() {
        Some(reason) => Ending::Stopped(reason),
        None => {
            let work = &mut || value = body.take().map(|body| body(Guard::joining(hold.clone())));
            within(&guard, &nest(guard.body()), work).map_or_else(Ending::Panicked, |()| Ending::Returned)
        }
    };
    match begin_to_finish(guard, ending) {
        Finishing::Done(result) => result?,
        Finishing::Goes(rest) => blocking(rest.finish())?,
    }
    match value {
        Some(value) => Ok(value),
        None => without_a_value(),
    }
}

fn without_a_value() -> ! {
    unreachable!("a body that has returned has a value")
}

/// The release of a lock; `Ok` if the body has returned.
enum Finishing {
    Done(Result<(), Error>),
    Goes(Rest),
}

/// What is left of it.
struct Rest {
    hold: Arc<Hold>,
    is_owner: bool,
    ending: Ending,
    release: Release,
}

/// Begins to release the lock.
fn begin_to_finish(guard: Guard, ending: Ending) -> Finishing {
    let (hold, is_owner) = (Arc::clone(guard.hold()), guard.is_owner());
    match guard.end() {
        Ok((lost, _)) => Finishing::Done(outcome(&hold, is_owner, ending, lost)),
        Err(release) => Finishing::Goes(Rest { hold, is_owner, ending, release }),
    }
}

impl Rest {
    async fn finish(self) -> Result<(), Error> {
        let Self { hold, is_owner, ending, release } = self;
        // The value stands: a release that failed is logged there, and goes on in the background.
        let (lost, _) = hold.answer(release).await;
        outcome(&hold, is_owner, ending, lost)
    }
}

fn outcome(hold: &Hold, is_owner: bool, ending: Ending, lost: Option<EndReason>) -> Result<(), Error> {
    match ending {
        Ending::Returned => {
            if let Some(reason) = lost {
                observe::overran(hold.key(), &reason);
            }
            Ok(())
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

fn named(error: Error, function: Option<&'static str>) -> Error {
    match function {
        Some(function) => error.with_function(function),
        None => error,
    }
}
