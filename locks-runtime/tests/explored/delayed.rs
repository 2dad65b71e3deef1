//! A store whose every request and every answer takes some polls more.

use locks_runtime::backend::{Backend, Capabilities, Change, Entered, Entry, Line, Patience, Pending, Scope, Session};
use locks_runtime::{Error, Key};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;

#[derive(Debug)]
pub(crate) struct Delayed<S: ?Sized> {
    /// How many polls each way.
    polls: usize,
    inner: Arc<S>,
}

impl<S: ?Sized> Delayed<S> {
    pub(crate) fn new(inner: Arc<S>, polls: usize) -> Self {
        Self { polls, inner }
    }

    fn late<T, F>(&self, ask: impl FnOnce(Arc<S>) -> F + Send + 'static) -> Pending<T>
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
            let answer = ask(inner).await;
            for _ in 0..polls {
                yield_now().await;
            }
            answer
        })
    }
}

impl Backend for Delayed<dyn Backend> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let polls = self.polls;
        self.late(move |store| async move {
            let inner = store.open(ttl).await?;
            Ok(Arc::new(Delayed { polls, inner }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        self.late(move |store| store.inspect(scope))
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        self.late(move |store| store.watch(scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        self.late(move |store| store.force_release(key))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Session for Delayed<dyn Session> {
    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn renew(&self) -> Pending<()> {
        self.late(|session| session.renew())
    }

    fn enter(&self, entry: Arc<Entry>, patience: Patience) -> Pending<Entered> {
        self.late(move |session| session.enter(entry, patience))
    }

    fn turn(&self, entry: Arc<Entry>) -> Pending<u64> {
        self.late(move |session| session.turn(entry))
    }

    fn keep(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        self.late(move |session| session.keep(entry, least))
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.late(move |session| session.leave(entry))
    }

    fn gone(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        self.late(move |session| session.gone(entry))
    }

    fn close(&self) -> Pending<()> {
        self.late(|session| session.close())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
