//! The lock that is put to the test: functions with the real attribute.

use std::pin::Pin;
use std::time::Duration;

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
        Box::pin(async move { call(locks, request).await.map_err(|error| failure(&error)) })
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
        (Style::Cancelled, Wait::Forever) => waiting(&locks, &key, body).await,
        (Style::Cancelled, Wait::Never) => trying(&locks, &key, body).await,
        (Style::Cancelled, Wait::Millis(limit)) => limited(&locks, &key, Duration::from_millis(limit), body).await,
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
        Style::Cancelled => lock,
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
