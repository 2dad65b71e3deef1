//! What the attribute expands to: a locked function's whole life.

use super::campaign::{Campaign, Candidate};
use super::global;
use super::guard::Guard;
use super::length::Given;
use super::locks::Locks;
use super::run::{Acquiring, Held, run_under_blocking};
use crate::engine::acquire::{Joins, acquire};
use crate::engine::observe;
use crate::engine::request::Caller;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::naming::{self, Value};
use crate::values::options::Options;
use crate::world::runtime::blocking;
use std::fmt::Display;
use std::sync::Arc;

/// Where a locked function is declared.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// What the holder calls itself.
    pub name: &'static str,
    /// The key as it is written.
    pub template: &'static str,
    /// The declaration's `file:line`.
    pub origin: &'static str,
    /// The options that are literals.
    pub options: Options,
}

impl From<&Site> for Caller {
    fn from(site: &Site) -> Self {
        Self { name: site.name.into(), origin: site.origin.into(), template: site.template, value: None }
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

/// The key of a template: its texts, one more than values, and its values.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key(texts: &[&'static str], values: &[Value<'_>]) -> Result<Keys, Error> {
    naming::render(texts, values).map(Keys::from)
}

/// The key that an expression evaluates to, used as it is. It is no template: what looks like one, with a name of the
/// function's `arguments` in braces, would be the same key for every call.
///
/// # Errors
///
/// `InvalidKey`.
pub fn key_of(value: &dyn Display, arguments: &[&str]) -> Result<Keys, Error> {
    let text = value.to_string();
    match arguments.iter().find(|name| naming::is_value_in(&text, name)) {
        None => Key::new(text).map(Keys::from),
        Some(name) => {
            let why = format!("`{{{name}}}` is text here: only a literal `key = \"…\"` is a template");
            Err(Error::invalid_key(&text, why))
        }
    }
}

/// The keys of several templates or expressions.
///
/// # Errors
///
/// `InvalidKey`.
pub fn keys<const COUNT: usize>(keys: [Result<Keys, Error>; COUNT]) -> Result<Keys, Error> {
    Keys::new(keys.into_iter().map(|keys| keys.map(|keys| keys.first)))
}

/// What a leader may say of itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a leader: it does not implement `Display`",
    label = "not `Display`",
    note = "write something that is, for instance a field, or `format!(…)`"
)]
pub trait LeaderValue: Display {}

impl<T: Display + ?Sized> LeaderValue for T {}

/// The value of a leader.
pub fn text<T: LeaderValue + ?Sized>(value: &T) -> String {
    value.to_string()
}

/// Requests the lock of a function, whose body runs once it is [`Held`].
///
/// # Errors
///
/// Every kind of [`Error`].
///
/// # Cancel safety
///
/// Dropping it withdraws from the queue, in the background.
pub fn acquiring(site: &'static Site, keys: Result<Keys, Error>) -> Acquiring {
    Given::new(site.options).acquiring(site, keys)
}

/// Runs `body` on this thread under the lock.
///
/// # Errors
///
/// Every kind of [`Error`]. `Lost` and `LimitPassed` only before the body begins: one that blocks cannot be stopped.
///
/// # Panics
///
/// When the body does, after the lock was released.
pub fn call_blocking<T>(
    site: &'static Site,
    keys: Result<Keys, Error>,
    body: impl FnOnce(Guard) -> T,
) -> Result<T, Error> {
    Given::new(site.options).call_blocking(site, keys, body)
}

impl Given {
    /// The campaign of a function that runs while this process leads.
    pub fn campaign(self, site: &'static Site, keys: Result<Keys, Error>, value: Option<String>) -> Campaign {
        let caller = Caller { value, ..Caller::from(site) };
        let candidate = prepared(self, keys).map(|(locks, keys, options)| {
            Candidate::new(Arc::clone(&locks.engine), keys, options, caller, Some(site.name))
        });
        Campaign::new(candidate.map_err(|error| error.with_function(site.name)))
    }

    /// As [`acquiring`], with what expressions evaluated to.
    pub fn acquiring(self, site: &'static Site, keys: Result<Keys, Error>) -> Acquiring {
        let prepared = prepared(self, keys);
        Box::pin(async move {
            let acquired = async {
                let (locks, keys, options) = prepared?;
                let acquired = acquire(&locks.engine, keys, options, site.into(), Joins::Body);
                let guard = acquired.await.map(Guard::from)?;
                Ok(Held::new(guard, &options, Some(site.name)))
            };
            acquired.await.map_err(|error: Error| error.with_function(site.name))
        })
    }

    /// As [`call_blocking`], with what expressions evaluated to.
    ///
    /// # Errors
    ///
    /// As [`call_blocking`].
    pub fn call_blocking<T>(
        self,
        site: &'static Site,
        keys: Result<Keys, Error>,
        body: impl FnOnce(Guard) -> T,
    ) -> Result<T, Error> {
        let guard = acquired_blocking(self, site, keys).map_err(|error| error.with_function(site.name))?;
        run_under_blocking(guard, body).map_err(|error| error.with_function(site.name))
    }
}

fn acquired_blocking(given: Given, site: &'static Site, keys: Result<Keys, Error>) -> Result<Guard, Error> {
    let (locks, keys, options) = prepared(given, keys)?;
    blocking(acquire(&locks.engine, keys, options, site.into(), Joins::BlockingBody)).map(Guard::from)
}

/// The client, the keys and the options, or what is wrong with the first of them that is.
fn prepared(given: Given, keys: Result<Keys, Error>) -> Result<(Locks, Keys, Options), Error> {
    let (client, options) = given.into_parts();
    let (locks, keys) = match (client.map_or_else(global::client, Ok), keys) {
        (Ok(locks), Ok(keys)) => (locks, keys),
        (Err(error), Ok(keys)) => return Err(error.with_key(&keys.first)),
        (Err(error), Err(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    match options {
        Ok(options) => Ok((locks, keys, options)),
        Err(error) => Err(error.with_key(&keys.first)),
    }
}
