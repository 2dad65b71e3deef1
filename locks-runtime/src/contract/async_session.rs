//! Sessions written with `async fn`s, and their way into the contract's boxed futures.

use super::entry::{Entered, Entry, Grant, WhenBusy};
use super::hand_over::Detaching;
use super::native::Native;
use super::pending::Pending;
use super::renewal::Renewal;
use super::traits::{Session, cannot_hand_over, cannot_once};
use crate::values::error::Error;
use crate::values::ticket::Detached;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// [`Session`] for implementors: the same methods as `async fn`s on an `Arc`, which own what they need by that.
///
/// [`boxed`] turns one into a [`Session`]. Each method's contract is that of the method of the same name there.
///
/// The futures must be [`Send`]; an `async fn` in the implementation is, when what it holds over its awaits is.
pub trait AsyncSession: fmt::Debug + Send + Sync + 'static {
    /// See [`Session::ttl`].
    fn ttl(&self) -> Duration;

    /// See [`Session::watched_within`].
    fn watched_within(&self) -> Duration {
        Duration::MAX
    }

    /// See [`Session::renew`].
    fn renew(self: Arc<Self>) -> impl Future<Output = Result<Renewal, Error>> + Send;

    /// See [`Session::enter`].
    fn enter(
        self: Arc<Self>,
        entry: Arc<Entry>,
        when_busy: WhenBusy,
    ) -> impl Future<Output = Result<Entered, Error>> + Send;

    /// See [`Session::wait_turn`].
    fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> impl Future<Output = Result<Grant, Error>> + Send;

    /// See [`Session::extend`].
    fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> impl Future<Output = Result<(), Error>> + Send;

    /// See [`Session::lapse`].
    fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> impl Future<Output = Result<(), Error>> + Send;

    /// See [`Session::mark_done`]. By default `Unsupported`.
    fn mark_done(
        self: Arc<Self>,
        entry: Arc<Entry>,
        record: Arc<str>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = record;
        std::future::ready(Err(cannot_once(&entry.key)))
    }

    /// See [`Session::detach`]. By default `Unsupported`.
    fn detach(
        self: Arc<Self>,
        entry: Arc<Entry>,
        detaching: Arc<Detaching>,
    ) -> impl Future<Output = Result<Detached, Error>> + Send {
        let _ = detaching;
        std::future::ready(Err(cannot_hand_over("this store", &entry.key)))
    }

    /// See [`Session::adopt`]. By default `Unsupported`.
    fn adopt(
        self: Arc<Self>,
        entry: Arc<Entry>,
        detached: Arc<Detached>,
    ) -> impl Future<Output = Result<Option<Grant>, Error>> + Send {
        let _ = detached;
        std::future::ready(Err(cannot_hand_over("this store", &entry.key)))
    }

    /// See [`Session::leave`].
    fn leave(self: Arc<Self>, entry: Arc<Entry>) -> impl Future<Output = Result<(), Error>> + Send;

    /// See [`Session::removed`].
    fn removed(self: Arc<Self>, entry: Arc<Entry>) -> impl Future<Output = Result<Infallible, Error>> + Send;

    /// See [`Session::close`].
    fn close(self: Arc<Self>) -> impl Future<Output = Result<(), Error>> + Send;

    /// See [`Session::native`].
    fn native(&self, entry: &Entry) -> Native;
}

/// A session as the engine takes it.
#[must_use]
pub fn boxed<S: AsyncSession>(session: Arc<S>) -> Arc<dyn Session> {
    Arc::new(Boxed(session))
}

#[derive(Debug)]
struct Boxed<S>(Arc<S>);

impl<S: AsyncSession> Session for Boxed<S> {
    fn ttl(&self) -> Duration {
        self.0.ttl()
    }

    fn watched_within(&self) -> Duration {
        self.0.watched_within()
    }

    fn renew(&self) -> Pending<Renewal> {
        Box::pin(Arc::clone(&self.0).renew())
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        Box::pin(Arc::clone(&self.0).enter(entry, when_busy))
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        Box::pin(Arc::clone(&self.0).wait_turn(entry))
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        Box::pin(Arc::clone(&self.0).extend(entry, least))
    }

    fn lapse(&self, entry: Arc<Entry>, rest: Duration) -> Pending<()> {
        Box::pin(Arc::clone(&self.0).lapse(entry, rest))
    }

    fn mark_done(&self, entry: Arc<Entry>, record: Arc<str>) -> Pending<()> {
        Box::pin(Arc::clone(&self.0).mark_done(entry, record))
    }

    fn detach(&self, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Pending<Detached> {
        Box::pin(Arc::clone(&self.0).detach(entry, detaching))
    }

    fn adopt(&self, entry: Arc<Entry>, detached: Arc<Detached>) -> Pending<Option<Grant>> {
        Box::pin(Arc::clone(&self.0).adopt(entry, detached))
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        Box::pin(Arc::clone(&self.0).leave(entry))
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        Box::pin(Arc::clone(&self.0).removed(entry))
    }

    fn close(&self) -> Pending<()> {
        Box::pin(Arc::clone(&self.0).close())
    }

    fn native(&self, entry: &Entry) -> Native {
        self.0.native(entry)
    }
}
