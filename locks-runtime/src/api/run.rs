//! Running a body for as long as its lock is held, and no longer.
//!
//! Nearly nothing of it is generic over the body: each locked function has code of its own only to begin, poll and drop its
//! body, so that a program with hundreds of them compiles.

use super::guard::Guard;
use super::running::{Ending, Running, Runs, within};
use crate::engine::context::nest;
use crate::engine::observe;
use crate::values::error::Error;
use crate::values::options::Options;
use crate::world::runtime::blocking;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A body and its lock: acquires the lock, runs the body while the lock is held, and releases the lock.
///
/// Dropping it drops the body and releases the lock, or withdraws from the queue, in the background.
pub struct Run<F, Fut: Future> {
    life: Life,
    body: Body<F, Fut>,
}

impl<F, Fut: Future> Run<F, Fut> {
    /// Runs `body` under the lock that `acquiring` gets. `function` is named in its errors.
    pub(crate) fn new(acquiring: Acquiring, body: F) -> Self {
        Self { life: Life(Stage::Acquiring(acquiring)), body: Body::Waiting(body) }
    }
}

impl<F: FnOnce(Guard) -> Fut, Fut: Future> Future for Run<F, Fut> {
    type Output = Result<Fut::Output, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { life, body } = self.get_mut();
        ready!(life.poll(context, body))?;
        match mem::replace(body, Body::Gone) {
            Body::Returned(value) => Poll::Ready(Ok(value)),
            _ => unreachable!("a body that has returned has a value"),
        }
    }
}

/// Nothing in it is ever pinned where it is: the future of the body is in a box.
impl<F, Fut: Future> Unpin for Run<F, Fut> {}

impl<F, Fut: Future> Drop for Run<F, Fut> {
    fn drop(&mut self) {
        if let Stage::Running(running, _) = &self.life.0 {
            // Its destructors see the hold, as the body did.
            running.drop_body(&mut || self.body = Body::Gone);
        }
    }
}

impl<F, Fut: Future> fmt::Debug for Run<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("stage", &self.life.0.name()).finish_non_exhaustive()
    }
}

/// A body, as far as it has come.
enum Body<F, Fut: Future> {
    Waiting(F),
    Running(Pin<Box<Fut>>),
    Returned(Fut::Output),
    Gone,
}

impl<F: FnOnce(Guard) -> Fut, Fut: Future> Runs for Body<F, Fut> {
    fn begin(&mut self, guard: Guard) {
        if let Self::Waiting(body) = mem::replace(self, Self::Gone) {
            *self = Self::Running(Box::pin(body(guard)));
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Running(body) = self else { return Poll::Pending };
        // With that the body is gone: all that it holds is dropped under the lock.
        let value = ready!(body.as_mut().poll(context));
        *self = Self::Returned(value);
        Poll::Ready(())
    }

    fn stop(&mut self) {
        *self = Self::Gone;
    }
}

/// A request for the lock of a body.
pub(crate) struct Acquiring {
    pub(crate) guard: Boxed<Result<Guard, Error>>,
    pub(crate) options: Options,
    /// Named in the errors.
    pub(crate) function: Option<&'static str>,
}

/// What surrounds a body.
struct Life(Stage);

enum Stage {
    Acquiring(Acquiring),
    Running(Running, Option<&'static str>),
    Releasing(Boxed<Result<(), Error>>),
    Over,
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Acquiring(_) => "acquiring",
            Self::Running(..) => "running",
            Self::Releasing(_) => "releasing",
            Self::Over => "over",
        }
    }
}

impl Life {
    /// `Ok` if the body has returned.
    fn poll(&mut self, context: &mut Context<'_>, body: &mut dyn Runs) -> Poll<Result<(), Error>> {
        loop {
            self.0 = match &mut self.0 {
                Stage::Acquiring(acquiring) => match ready!(acquiring.guard.as_mut().poll(context)) {
                    Ok(guard) => {
                        body.begin(Guard::joining(guard.hold().clone()));
                        Stage::Running(Running::new(guard, &acquiring.options), acquiring.function)
                    }
                    Err(error) => {
                        let error = named(error, acquiring.function);
                        self.0 = Stage::Over;
                        return Poll::Ready(Err(error));
                    }
                },
                Stage::Running(running, function) => {
                    let ending = ready!(running.poll(context, body));
                    let function = *function;
                    let Stage::Running(running, _) = mem::replace(&mut self.0, Stage::Over) else { continue };
                    let guard = running.into_guard();
                    Stage::Releasing(Box::pin(async move {
                        finish(guard, ending).await.map_err(|error| named(error, function))
                    }))
                }
                Stage::Releasing(releasing) => {
                    let result = ready!(releasing.as_mut().poll(context));
                    self.0 = Stage::Over;
                    return Poll::Ready(result);
                }
                Stage::Over => return Poll::Pending,
            };
        }
    }
}

/// Runs `body` on this thread under a lock that is held, and releases it.
pub(crate) fn run_under_blocking<T>(guard: Guard, body: impl FnOnce(Guard) -> T) -> Result<T, Error> {
    let (mut body, mut value) = (Some(body), None);
    let hold = guard.hold();
    let ran =
        within(&guard, &nest(guard.body()), &mut || value = body.take().map(|body| body(Guard::joining(hold.clone()))));
    blocking(finish(guard, ran.map_or_else(Ending::Panicked, |()| Ending::Returned)))?;
    match value {
        Some(value) => Ok(value),
        None => unreachable!("a body that has returned has a value"),
    }
}

/// Releases the lock; `Ok` if the body has returned.
async fn finish(guard: Guard, ending: Ending) -> Result<(), Error> {
    let (hold, is_owner) = (guard.hold().clone(), guard.is_owner());
    // The value stands: a release that failed is logged there, and goes on in the background.
    let (lost, _) = guard.end().await;
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
