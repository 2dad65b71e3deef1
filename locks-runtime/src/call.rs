//! A declared function's whole life: what the attribute expands to, and `Lock::run`.

use crate::acquire::{self, Caller};
use crate::error::Error;
use crate::global;
use crate::guard::Guard;
use crate::hold::Hold;
use crate::key::{self, Key, Piece};
use crate::locks::Locks;
use crate::observe;
use crate::options::{OnLost, Options};
use crate::over::Why;
use crate::runtime::blocking;
use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Where a locked function is declared.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// What the holder calls itself.
    pub name: &'static str,
    /// The key as it is written.
    pub template: &'static str,
    /// The declaration's `file:line`.
    pub origin: &'static str,
}

impl From<&Site> for Caller {
    fn from(site: &Site) -> Self {
        Self { name: site.name.into(), origin: site.origin.into(), template: site.template }
    }
}

/// The return type of a locked function: it can say that the function did not run, or not to its end.
///
/// `Result<T, E>` where `E: From<locks::Error>` gives `Err`; `Option<T>` gives `None`; `()` is skipped with an event
/// (`info` where another had the lock, `error` otherwise). Implement it for your own return types, or write `or = …`.
#[diagnostic::on_unimplemented(
    message = "a locked function that returns `{Self}` cannot say that it did not run",
    label = "this type has no value for \"the lock was not taken\"",
    note = "return `Result<_, E>` where `E: From<locks::Error>`, `Option<_>` or `()`",
    note = "or say what to return instead: `#[distributed_lock(…, or = …)]`"
)]
pub trait FromLockError {
    /// The value that says so.
    fn from_lock_error(error: Error) -> Self;
}

impl<T, E: From<Error>> FromLockError for Result<T, E> {
    fn from_lock_error(error: Error) -> Self {
        Err(error.into())
    }
}

impl<T> FromLockError for Option<T> {
    fn from_lock_error(error: Error) -> Self {
        observe::skipped(&error);
        None
    }
}

impl FromLockError for () {
    fn from_lock_error(error: Error) {
        observe::skipped(&error);
    }
}

/// The value of a function that did not run, or not to its end.
pub fn skipped<T: FromLockError>(error: Error) -> T {
    T::from_lock_error(error)
}

/// What can be written into a key template.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into a lock key: it does not implement `Display`",
    label = "not `Display`",
    note = "interpolate something that is, for instance a field: `{{order.id}}`"
)]
pub trait KeyValue: Display {}

impl<T: Display + ?Sized> KeyValue for T {}

/// A value of a key template.
pub fn value<T: KeyValue>(value: &T) -> &dyn Display {
    value
}

/// The key that a template and its values make.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key(pieces: &[Piece<'_>]) -> Result<Key, Error> {
    key::render(pieces)
}

/// The key that an expression gives, taken as it is.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key_of(value: impl Display) -> Result<Key, Error> {
    Key::new(value.to_string())
}

/// The client that an attribute names.
#[must_use]
pub fn client(locks: &Locks) -> Option<Locks> {
    Some(locks.clone())
}

/// Runs `body` under the lock: acquires, runs it while the lock is held and no longer, and gives the lock back.
///
/// # Errors
///
/// Every kind of [`Error`]; the body ran, in part, only if the kind is `Lost`.
///
/// # Panics
///
/// When the body does, after the lock was given back.
///
/// # Cancel safety
///
/// Dropping it drops the body and gives the lock back, or withdraws from the line, in the background.
pub async fn call<T, F, Fut>(
    site: &'static Site,
    key: Result<Key, Error>,
    options: Options,
    client: Option<Locks>,
    body: F,
) -> Result<T, Error>
where
    F: FnOnce(Guard) -> Fut,
    Fut: Future<Output = T>,
{
    let locks = client.map_or_else(global::client, Ok)?;
    let guard = acquire::acquire(&locks.engine, locks.request(key?, options, site.into())).await?;
    hold_around(guard, &options, body).await
}

/// Runs `body` under a lock that is held.
pub(crate) async fn hold_around<T, F, Fut>(guard: Guard, options: &Options, body: F) -> Result<T, Error>
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
        watched: (options.on_lost == OnLost::Cancel).then(|| Watched { hold: Arc::clone(&hold), over: None }),
        limit: limit.map(|limit| (limit, guard.hold().runtime().sleep(limit))),
    };
    let ending = tracing::Instrument::instrument(global::under(&hold, running), hold.span().clone()).await;
    finish(guard, ending).await
}

/// Gives the lock back, and says how the body ended.
async fn finish<T>(guard: Guard, ending: Ending<T>) -> Result<T, Error> {
    let hold = Arc::clone(guard.hold());
    let (lost, left) = guard.end().await;
    if let (None, Err(error)) = (&lost, &left) {
        // The value stands; the release goes on in the background.
        observe::release_failed(hold.key(), error);
    }
    match ending {
        Ending::Returned(value) => {
            if let Some(why) = lost {
                observe::overran(hold.key(), &why);
            }
            Ok(value)
        }
        Ending::Panicked(panic) => resume_unwind(panic),
        Ending::Stopped(why) => Err(hold.lost_error(&why)),
    }
}

/// Runs `body` on this thread under the lock.
///
/// # Errors
///
/// Every kind of [`Error`] but `Lost`: a body that blocks cannot be stopped.
///
/// # Panics
///
/// When the body does, after the lock was given back.
pub fn call_blocking<T>(
    site: &'static Site,
    key: Result<Key, Error>,
    options: Options,
    client: Option<Locks>,
    body: impl FnOnce(Guard) -> T,
) -> Result<T, Error> {
    let locks = client.map_or_else(global::client, Ok)?;
    let guard = blocking(acquire::acquire(&locks.engine, locks.request(key?, options, site.into())))?;
    let hold = Arc::clone(guard.hold());
    let result = hold.span().in_scope(|| {
        catch_unwind(AssertUnwindSafe(|| global::under_sync(&hold, || body(Guard::joining(Arc::clone(&hold))))))
    });
    blocking(finish(guard, result.map_or_else(Ending::Panicked, Ending::Returned)))
}

/// How a body ended.
enum Ending<T> {
    Returned(T),
    Panicked(Box<dyn Any + Send>),
    Stopped(Why),
}

/// A body that runs while its lock is held.
struct Running<Fut> {
    /// Gone once it ended.
    body: Option<Pin<Box<Fut>>>,
    watched: Option<Watched>,
    /// A limit of the body's own, where the hold does not have it.
    limit: Option<(Duration, Pin<Box<tokio::time::Sleep>>)>,
}

/// The hold that a body must not outlive.
struct Watched {
    hold: Arc<Hold>,
    /// Begun once the body has to wait.
    over: Option<Pin<Box<dyn Future<Output = Why> + Send>>>,
}

impl Watched {
    /// Why the body must stop now, if so.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Why> {
        let hold = &self.hold;
        let over = self.over.get_or_insert_with(|| {
            let hold = Arc::clone(hold);
            Box::pin(async move { hold.over().await })
        });
        over.as_mut().poll(context)
    }
}

impl<Fut: Future> Future for Running<Fut> {
    type Output = Ending<Fut::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the body gets a turn: after a pause of the process the clock knows first.
        if let Some(why) = this.watched.as_ref().and_then(|watched| watched.hold.loss()) {
            return Poll::Ready(this.stop(why));
        }
        let Some(body) = &mut this.body else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ending::Returned(value)),
            Err(panic) => return Poll::Ready(Ending::Panicked(panic)),
            Ok(Poll::Pending) => {}
        }
        if let Some(Poll::Ready(why)) = this.watched.as_mut().map(|watched| watched.poll_over(context)) {
            return Poll::Ready(this.stop(why));
        }
        if let Some((limit, timer)) = &mut this.limit
            && timer.as_mut().poll(context).is_ready()
        {
            let why = format!("`hold_at_most` of {limit:?} passed");
            return Poll::Ready(this.stop(why.into()));
        }
        Poll::Pending
    }
}

impl<Fut: Future> Running<Fut> {
    /// Drops the body where it stands. Its destructors may panic; that is the body's panic then.
    fn stop(&mut self, why: Why) -> Ending<Fut::Output> {
        let body = self.body.take();
        match catch_unwind(AssertUnwindSafe(|| drop(body))) {
            Ok(()) => Ending::Stopped(why),
            Err(panic) => Ending::Panicked(panic),
        }
    }
}
