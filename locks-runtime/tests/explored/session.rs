//! The contract, implemented by the store behind a bad network.

use crate::network::{Answer, NetworkStore, Request};
use locks_runtime::store::{
    Capabilities, Change, Entered, Entry, Grant, Line, Native, Pending, Renewal, Scope, Session, Store, WhenBusy,
};
use locks_runtime::{Error, ErrorKind, Key};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

impl Store for NetworkStore {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.fencing, can.queue_order, can.outlives_process) = (true, true, true);
        can
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let store = self.clone();
        Box::pin(async move {
            let id = store.number();
            store.request(Request::Open { id, ttl }).await?;
            Ok(Arc::new(NetworkSession { store, id, ttl }) as Arc<dyn Session>)
        })
    }

    fn inspect(&self, _: Scope) -> Pending<Vec<Line>> {
        let answer = self.request(Request::Inspect);
        Box::pin(async move {
            let Answer::Holders(mut holders) = answer.await? else { panic!("an answer to another request") };
            let waiters = holders.split_off(1.min(holders.len()));
            let line = Line::new(Key::new("k")?, holders, waiters);
            Ok(if line.holders.is_empty() { Vec::new() } else { vec![line] })
        })
    }

    fn watch(&self, _: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "this store is not for that")) })
    }

    fn force_release(&self, _: Key) -> Pending<usize> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "this store is not for that")) })
    }

    fn native(&self) -> Native {
        Native::none()
    }
}

#[derive(Debug)]
struct NetworkSession {
    store: NetworkStore,
    id: u64,
    ttl: Duration,
}

impl NetworkSession {
    fn done(&self, request: Request) -> Pending<()> {
        let answer = self.store.request(request);
        Box::pin(async move { answer.await.map(drop) })
    }
}

impl Session for NetworkSession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let answer = self.store.request(Request::Renew { id: self.id });
        Box::pin(async move { answer.await.map(|_| Renewal::complete()) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let (id, number, holder) = (self.id, entry.number, entry.holder.clone());
        let answer = self.store.request(Request::Enter { id, number, holder, when_busy });
        Box::pin(async move {
            match answer.await? {
                Answer::Entered(entered) => Ok(entered),
                other => panic!("{other:?}"),
            }
        })
    }

    /// The notification is never lost, because every store has to make sure of that; but it may be delayed.
    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        self.store.turn(self.id, entry.number)
    }

    fn extend(&self, _: Arc<Entry>, _: Duration) -> Pending<()> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "this store is not for that")) })
    }

    fn lapse(&self, _: Arc<Entry>, _: Duration) -> Pending<()> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "this store is not for that")) })
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.done(Request::Leave { id: self.id, number: entry.number })
    }

    fn removed(&self, _: Arc<Entry>) -> Pending<Infallible> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> Pending<()> {
        self.done(Request::Close { id: self.id })
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}
