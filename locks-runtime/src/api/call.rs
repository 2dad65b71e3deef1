//! What the attribute expands to: a locked function's whole life.

use super::global;
use super::guard::Guard;
use super::locks::Locks;
use super::run::{run_under, run_under_blocking};
use crate::engine::acquire::{Joins, acquire};
use crate::engine::observe;
use crate::engine::request::Caller;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::naming::{self, Piece};
use crate::values::options::Options;
use crate::world::panic::with_contained_wakers;
use crate::world::runtime::blocking;
use std::fmt::Display;
use std::future::Future;

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
/// `Result<T, E>` where `E: From<distributed_locks::Error>` becomes `Err`; `Option<T>` becomes `None`; `()` is skipped with an event
/// (`info` where the lock was held or the client closed, `warn` where `hold_at_most` passed, `error` otherwise) that names the
/// function, the key and the cause. Implement it for your own return types, or write `or = …`.
#[diagnostic::on_unimplemented(
    message = "a locked function that returns `{Self}` cannot say that it did not run",
    label = "this type has no value for \"the lock was not acquired\"",
    note = "return `Result<_, E>` where `E: From<distributed_locks::Error>`, `Option<_>` or `()`",
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

/// What may be interpolated into a key template.
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

/// The key of a template and its values.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key(pieces: &[Piece<'_>]) -> Result<Key, Error> {
    naming::render(pieces)
}

/// The key that an expression evaluates to, used as it is.
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

/// Runs `body` under the lock: acquires it, runs the body while it is held and no longer, and releases it.
///
/// # Errors
///
/// Every kind of [`Error`]; the body ran, in part, only if the kind is `Lost`, `LimitPassed` or, where the client was closed
/// meanwhile, `Closed`.
///
/// # Panics
///
/// When the body does, after the lock was released.
///
/// # Cancel safety
///
/// Dropping it drops the body and releases the lock, or withdraws from the queue, in the background.
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
    let named = |error: Error| error.with_function(site.name);
    let (locks, key) = prepared(client, key).map_err(named)?;
    let acquired = acquire(&locks.engine, key, options, site.into(), Joins::Body);
    let acquired = with_contained_wakers(acquired).await.map_err(named)?;
    run_under(acquired.into(), &options, body).await.map_err(named)
}

/// Runs `body` on this thread under the lock.
///
/// # Errors
///
/// Every kind of [`Error`] but `Lost` and `LimitPassed`: a body that blocks cannot be stopped.
///
/// # Panics
///
/// When the body does, after the lock was released.
pub fn call_blocking<T>(
    site: &'static Site,
    key: Result<Key, Error>,
    options: Options,
    client: Option<Locks>,
    body: impl FnOnce(Guard) -> T,
) -> Result<T, Error> {
    let named = |error: Error| error.with_function(site.name);
    let (locks, key) = prepared(client, key).map_err(named)?;
    let acquired = blocking(acquire(&locks.engine, key, options, site.into(), Joins::BlockingBody)).map_err(named)?;
    run_under_blocking(acquired.into(), body).map_err(named)
}

/// The client and the key, or what is wrong with the first of them that is.
fn prepared(client: Option<Locks>, key: Result<Key, Error>) -> Result<(Locks, Key), Error> {
    match (client.map_or_else(global::client, Ok), key) {
        (Ok(locks), Ok(key)) => Ok((locks, key)),
        (Err(error), Ok(key)) => Err(error.with_key(&key)),
        (Err(error), Err(_)) | (Ok(_), Err(error)) => Err(error),
    }
}
