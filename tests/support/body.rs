//! A locked body that runs until it is stopped.

use std::future::pending;
use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Locks};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(15);

/// What a body gives that was stopped.
pub type Body = JoinHandle<Result<(), Error>>;

/// A body that runs under `key`, with a TTL in seconds; returns once it runs.
pub async fn held(locks: &Locks, key: &str, ttl: u64) -> Body {
    let (started, running) = tokio::sync::oneshot::channel();
    let lock = locks.lock(key).ttl(Duration::from_secs(ttl));
    let body = tokio::spawn(lock.run(|_| async move {
        started.send(()).unwrap();
        pending().await
    }));
    running.await.unwrap();
    body
}

/// The error of a body that has lost, or soon loses, its lock.
pub async fn lost(body: Body) -> Error {
    let error = tokio::time::timeout(SOON, body).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    error
}

/// An error with the whole chain of its causes, as a log would have it.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
