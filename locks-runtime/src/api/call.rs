//! What the attribute expands to: a locked function's whole life.

use super::global;
use super::guard::Guard;
use super::length::Given;
use super::locks::Locks;
use super::run::{Acquiring, Run, run_under_blocking};
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
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::{Error, FromLockError};
///
/// enum Reply {
///     Done,
///     TryLater(String),
/// }
///
/// impl FromLockError for Reply {
///     fn from_lock_error(error: Error) -> Self {
///         Reply::TryLater(error.to_string())
///     }
/// }
/// // `#[distributed_lock(key = "/report", wait = 0)] async fn report() -> Reply` needs no `or` now.
/// ```
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

/// [`skipped`] for a function that returns nothing. If it is a test itself, it fails: it would pass without running.
///
/// # Panics
///
/// If the function was compiled for tests and has the name of this thread, as a test has.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn skipped_in(compiled_for_tests: bool, function: &str, error: Error) {
    let in_crate = function.split_once("::").map_or(function, |(_, path)| path);
    if compiled_for_tests && std::thread::current().name() == Some(in_crate) {
        panic!("the test did not run: {error}");
    }
    skipped(error)
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

/// The key that an expression evaluates to, used as it is. It is no template: what looks like one, with a name of the
/// function's `arguments` in braces, would be the same key for every call.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key_of(value: &dyn Display, arguments: &[&str]) -> Result<Key, Error> {
    let text = value.to_string();
    match arguments.iter().find(|name| naming::is_value_in(&text, name)) {
        None => Key::new(text),
        Some(name) => {
            let why = format!("`{{{name}}}` is text here: only a literal `key = \"…\"` is a template");
            Err(Error::invalid_key(&text, why))
        }
    }
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
pub fn call<F, Fut>(
    site: &'static Site,
    key: Result<Key, Error>,
    options: Given,
    client: Option<Locks>,
    body: F,
) -> Run<F, Fut>
where
    F: FnOnce(Guard) -> Fut,
    Fut: Future,
{
    Run::new(acquiring(site, key, options, client), body)
}

fn acquiring(site: &'static Site, key: Result<Key, Error>, options: Given, client: Option<Locks>) -> Acquiring {
    let (prepared, options) = match prepared(client, key, options) {
        Ok((locks, key, options)) => (Ok((locks, key)), options),
        Err(error) => (Err(error), Options::default()),
    };
    let guard = async move {
        let (locks, key) = prepared?;
        let acquired = acquire(&locks.engine, key, options, site.into(), Joins::Body);
        with_contained_wakers(acquired).await.map(Guard::from)
    };
    Acquiring { guard: Box::pin(guard), options, function: Some(site.name) }
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
    options: Given,
    client: Option<Locks>,
    body: impl FnOnce(Guard) -> T,
) -> Result<T, Error> {
    let named = |error: Error| error.with_function(site.name);
    let (locks, key, options) = prepared(client, key, options).map_err(named)?;
    let acquired = blocking(acquire(&locks.engine, key, options, site.into(), Joins::BlockingBody)).map_err(named)?;
    run_under_blocking(acquired.into(), body).map_err(named)
}

/// The client, the key and the options, or what is wrong with the first of them that is.
fn prepared(client: Option<Locks>, key: Result<Key, Error>, options: Given) -> Result<(Locks, Key, Options), Error> {
    let (locks, key) = match (client.map_or_else(global::client, Ok), key) {
        (Ok(locks), Ok(key)) => (locks, key),
        (Err(error), Ok(key)) => return Err(error.with_key(&key)),
        (Err(error), Err(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    match options.options() {
        Ok(options) => Ok((locks, key, options)),
        Err(error) => Err(error.with_key(&key)),
    }
}
