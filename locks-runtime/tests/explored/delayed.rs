//! A store whose requests and answers are each delayed by some polls.

use locks_runtime::store::{
    Capabilities, Change, Entered, Entry, Grant, Line, Native, Pending, Renewal, Scope, Session, Store, WhenBusy,
};
use locks_runtime::{Error, Key};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;

#[derive(Debug)]
pub(crate) struct Delayed<S: ?Sized> {
    /// By how many polls, each way.
    polls: usize,
    inner: Arc<S>,
}

impl<S: ?Sized> Delayed<S> {
    pub(crate) fn new(inner: Arc<S>, polls: usize) -> Self {
        Self { polls, inner }
    }

    fn delayed<T, F>(&self, request: impl FnOnce(Arc<S>) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        S: Send + Sync + 'static,
    {
        let (inner, polls) = (Arc::clone(&self.inner), self.polls);
        Box::pin(async move {
            for _ in 0..polls {
                yield_now().await;
            }
            let answer = request(inner).await;
            for _ in 0..polls {
                yield_now().await;
            }
            answer
        })
    }
}

impl Store for Delayed<dyn Store> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let polls = self.polls;
        self.delayed(move |store| async move {
            let inner = store.open(ttl).await?;
            Ok(Arc::new(Delayed { polls, inner }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        self.delayed(move |store| store.inspect(scope))
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        self.delayed(move |store| store.watch(scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        self.delayed(move |store| store.force_release(key))
    }

    fn native(&self) -> Native {
        self.inner.native()
    }
}

impl Session for Delayed<dyn Session> {
    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn renew(&self) -> Pending<Renewal> {
        self.delayed(|session| session.renew())
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        self.delayed(move |session| session.enter(entry, when_busy))
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        self.delayed(move |session| session.wait_turn(entry))
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        self.delayed(move |session| session.extend(entry, least))
    }

    fn lapse(&self, entry: Arc<Entry>, rest: Duration) -> Pending<()> {
        self.delayed(move |session| session.lapse(entry, rest))
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.delayed(move |session| session.leave(entry))
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        self.delayed(move |session| session.removed(entry))
    }

    fn close(&self) -> Pending<()> {
        self.delayed(|session| session.close())
    }

    fn native(&self, entry: &Entry) -> Native {
        self.inner.native(entry)
    }
}
