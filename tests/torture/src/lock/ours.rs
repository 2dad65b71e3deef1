//! The lock that is put to the test: functions with the real attribute.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

use distributed_locks::{Error, ErrorKind, Guard, Locks, OnLost, distributed_lock};

use super::{Failure, Lock, Request, Style};
use crate::history::{Outcome, Promises, Wait};
use crate::worker::body::Body;

/// Locked functions of one client.
#[derive(Debug)]
pub struct Ours(Locks);

impl Ours {
    /// Of this client.
    #[must_use]
    pub fn of(locks: Locks) -> Self {
        Self(locks)
    }
}

impl Lock for Ours {
    fn promises(&self) -> Promises {
        let capabilities = self.0.capabilities();
        Promises { fencing: capabilities.fencing, queue_order: capabilities.queue_order }
    }

    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> {
        let locks = self.0.clone();
        Box::pin(async move {
            match request.style {
                Style::Leading => lead(&locks, request).await,
                _ => call(locks, request).await.map_err(|error| failure(&error)),
            }
        })
    }
}

async fn call(locks: Locks, request: Request) -> Result<(), Error> {
    if !request.wanted.is_alone() {
        return call_by_hand(&locks, request).await;
    }
    let Request { wanted, wait, style, body } = request;
    let key = wanted.key().to_owned();
    if style != Style::Blocking {
        body.record_request(wait, style);
    }
    match (style, wait) {
        (Style::Cancelled | Style::Leading, Wait::Forever) => waiting(&locks, &key, body).await,
        (Style::Cancelled | Style::Leading, Wait::Never) => trying(&locks, &key, body).await,
        (Style::Cancelled | Style::Leading, Wait::Millis(limit)) => {
            limited(&locks, &key, Duration::from_millis(limit), body).await
        }
        (Style::AtMost(most), _) => at_most(&locks, &key, most, body).await,
        (Style::Continuing, _) => continuing(&locks, &key, body).await,
        (Style::Blocking, _) => {
            let blocking = tokio::task::spawn_blocking(move || {
                // Not before its thread has started, which may take a while.
                body.record_request(wait, style);
                blocking(&locks, &key, body)
            });
            match blocking.await {
                Ok(result) => result,
                Err(ended) => std::panic::resume_unwind(ended.into_panic()),
            }
        }
    }
}

/// Campaigns, and leads for one term. After a loss the campaign would go on: the next term is a call of its own here.
async fn lead(locks: &Locks, request: Request) -> Result<(), Failure> {
    let Request { wanted, wait, style, body } = request;
    body.record_request(wait, style);
    let (ends, ended) = oneshot::channel();
    let mut first_term = Some((body, ends));
    let campaign = locks.leader(wanted.key()).value("a worker").run(move |leadership| {
        let term = first_term.take();
        async move {
            let Some((body, ends)) = term else { return };
            let mut term = Term(Some(ends));
            run(body, leadership.guard()).await;
            term.end();
        }
    });
    tokio::select! {
        biased;
        result = campaign => result.map_err(|error| failure(&error)),
        // The body was dropped before its end.
        Err(_) = ended => Err(Failure::new(Outcome::Lost, "the term is over")),
    }
}

/// A term: dropped before its end, and not by a panic, it was lost.
struct Term(Option<oneshot::Sender<()>>);

impl Term {
    fn end(&mut self) {
        // Whoever waits for it is gone if it cannot be sent.
        self.0.take().map(|ends| ends.send(()));
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end();
        }
    }
}

/// Shares the lock, or has several of them, without the attribute.
async fn call_by_hand(locks: &Locks, request: Request) -> Result<(), Error> {
    let Request { wanted, wait, style, body } = request;
    let mut lock = wanted.of(locks);
    lock = match wait {
        Wait::Forever => lock,
        Wait::Never => lock.wait(Duration::ZERO),
        Wait::Millis(limit) => lock.wait(Duration::from_millis(limit)),
    };
    lock = match style {
        Style::AtMost(most) => lock.hold_at_most(most),
        Style::Continuing | Style::Blocking => lock.on_lost(OnLost::Continue),
        Style::Cancelled | Style::Leading => lock,
    };
    if style != Style::Blocking {
        body.record_request(wait, style);
        return lock.run(|held| async move { run(body, &held).await }).await;
    }
    let blocking = tokio::task::spawn_blocking(move || {
        body.record_request(wait, style);
        distributed_locks::blocking(lock.run(|held| async move {
            let fences = body.wanted.fences(&held);
            body.run_blocking(fences, || held.is_held());
        }))
    });
    match blocking.await {
        Ok(result) => result,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

async fn run(body: Body, held: &Guard) {
    let fences = body.wanted.fences(held);
    body.run(fences, || held.is_held()).await;
}

#[distributed_lock(key = key, client = locks, guard = held)]
async fn waiting(locks: &Locks, key: &str, body: Body) -> Result<(), Error> {
    run(body, held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, wait = 0, guard = held)]
async fn trying(locks: &Locks, key: &str, body: Body) -> Result<(), Error> {
    run(body, held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, wait = limit, guard = held)]
async fn limited(locks: &Locks, key: &str, limit: Duration, body: Body) -> Result<(), Error> {
    run(body, held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, hold_at_most = most, guard = held)]
async fn at_most(locks: &Locks, key: &str, most: Duration, body: Body) -> Result<(), Error> {
    run(body, held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, on_lost = continue, guard = held)]
async fn continuing(locks: &Locks, key: &str, body: Body) -> Result<(), Error> {
    run(body, held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, guard = held)]
fn blocking(locks: &Locks, key: &str, body: Body) -> Result<(), Error> {
    body.run_blocking(vec![held.fence().to_u64()], || held.is_held());
    Ok(())
}

/// What became of a call that has failed.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    let outcome = match error.kind() {
        ErrorKind::Busy => Outcome::Busy,
        ErrorKind::Timeout => Outcome::Timeout,
        ErrorKind::LimitPassed => Outcome::Limited,
        ErrorKind::Lost => Outcome::Lost,
        ErrorKind::Unavailable => Outcome::Unavailable,
        ErrorKind::Closed => Outcome::Closed,
        ErrorKind::Unauthorized => Outcome::Refused,
        _ => Outcome::Failed,
    };
    Failure { outcome, message: format!("{error:?}") }
}
