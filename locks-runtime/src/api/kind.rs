//! The compiler's check that a locked plain function does not return a future: its body would run without the lock.
//!
//! Method resolution decides: the method of [`Kind`] itself exists for futures only, and wins where it exists.

use std::marker::PhantomData;

/// What a function returns, as a type.
#[derive(Debug)]
pub struct Kind<T: ?Sized>(PhantomData<T>);

/// A future of this type.
#[derive(Debug)]
pub struct AFuture<T: ?Sized>(PhantomData<T>);

/// Anything that is no future.
#[derive(Clone, Copy, Debug)]
pub struct NoFuture;

impl<T: ?Sized> Kind<T> {
    /// That of a value.
    #[must_use]
    pub fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}

impl<T: Future + ?Sized> Kind<T> {
    /// A future.
    #[must_use]
    pub fn kind(&self) -> AFuture<T> {
        AFuture(PhantomData)
    }
}

/// What is no future.
pub trait Other {
    /// No future.
    fn kind(&self) -> NoFuture {
        NoFuture
    }
}

impl<T: ?Sized> Other for Kind<T> {}

/// What a locked plain `fn` may return.
#[diagnostic::on_unimplemented(
    message = "a locked `fn` returns a future, which would run after the lock is released",
    label = "this is a future",
    note = "make the function an `async fn`, or end it with `Box::pin(async move {{ … }})`: then the lock is held while the block runs",
    note = "`or` does not change that"
)]
pub trait RunsUnderTheLock {}

impl RunsUnderTheLock for NoFuture {}

/// Accepts what runs under the lock.
pub fn runs_under_the_lock(_: impl RunsUnderTheLock) {}
