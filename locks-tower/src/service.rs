//! The service: a request comes, its lock is acquired, the inner service answers, the lock is released.

use crate::body::{BoxError, Holding, LockBody};
use crate::fence::LockFence;
use crate::key::RequestKey;
use crate::options::{Options, Until};
use crate::refusal::{Protocol, bad_request, refusal, stopped};
use bytes::Bytes;
use distributed_locks::{Error, Lock, Locks};
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tower_service::Service;

/// What [`LockLayer`](crate::LockLayer) makes of a service.
///
/// It is ready when the inner service is. The request then waits for its lock with that readiness: a limit of concurrency inside
/// counts the requests that wait for locks, one around this layer as well.
#[derive(Clone)]
pub struct LockService<S, K> {
    inner: S,
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    locks: Locks,
    key: K,
    options: Options,
}

impl<S, K> LockService<S, K> {
    pub(crate) fn new(inner: S, locks: Locks, key: K, options: Options) -> Self {
        Self { inner, shared: Arc::new(Shared { locks, key, options }) }
    }
}

impl<S, K, R, B, A> Service<Request<B>> for LockService<S, K>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    K: Fn(&Request<B>) -> R,
    R: RequestKey,
    B: Send + 'static,
    A: Body<Data = Bytes> + Send + 'static,
    A::Error: Into<BoxError>,
{
    type Response = Response<LockBody<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready answers; its clone has to become ready first.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let protocol = Protocol::of(request.headers());
        let Shared { locks, key, options } = &*self.shared;
        let key = match key(&request).request_key() {
            Ok(Some(key)) => key,
            Ok(None) => {
                let answer = inner.call(request);
                return Box::pin(async move { Ok(answer.await?.map(LockBody::free)) });
            }
            Err(text) => return Box::pin(async move { Ok(bad_request(&protocol, &text)) }),
        };
        let lock = described(locks, &key, options);
        Box::pin(locked(lock, inner, request, protocol, options.clone()))
    }
}

fn described(locks: &Locks, key: &str, options: &Options) -> Lock {
    let Options { wait, ttl, mode, max_waiting, name, origin, .. } = options.clone();
    locks.lock(key).wait(wait).ttl(ttl).mode(mode).max_waiting(max_waiting).name(name).origin(origin)
}

/// Answers a request under its lock. It is dropped with the client's connection, and the lock released then.
async fn locked<S, B, A>(
    lock: Lock,
    mut inner: S,
    mut request: Request<B>,
    protocol: Protocol,
    options: Options,
) -> Result<Response<LockBody<A>>, S::Error>
where
    S: Service<Request<B>, Response = Response<A>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    A: Body<Data = Bytes> + Send + 'static,
{
    let (answers, mut answered) = oneshot::channel();
    let (open, closed) = oneshot::channel();
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let until = options.until;
    let mut holding: Holding = Box::pin(lock.run(move |guard| async move {
        begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(LockFence::of(&guard));
        let answer = inner.call(request).await;
        let goes_on = until == Until::Body && answer.as_ref().is_ok_and(|answer| !answer.body().is_end_stream());
        // Whoever waits for it is gone if it cannot be sent.
        let _ = answers.send((answer, goes_on));
        if goes_on {
            // Until the body has ended, or was dropped.
            let _ = closed.await;
        }
    }));
    let mut answer = None;
    let ended = poll_fn(|context| {
        let ended = holding.as_mut().poll(context);
        answer = answer.take().or_else(|| answered.try_recv().ok());
        match (ended, answer.take()) {
            (Poll::Ready(ended), answer) => Poll::Ready(Ended::Over(ended, answer.map(|(answer, _)| answer))),
            (Poll::Pending, Some((Ok(answer), true))) => Poll::Ready(Ended::GoesOn(answer)),
            // Its lock is being released.
            (Poll::Pending, waiting) => {
                answer = waiting;
                Poll::Pending
            }
        }
    });
    match ended.await {
        Ended::GoesOn(answer) => {
            let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            Ok(answer.map(|body| LockBody::held(body, holding, open, length)))
        }
        Ended::Over(Ok(()), Some(answer)) => Ok(answer?.map(LockBody::free)),
        Ended::Over(Ok(()), None) => Ok(stopped(&protocol)),
        Ended::Over(Err(error), _) => Ok(refusal(&protocol, &options, error, has_begun.load(Ordering::Relaxed))),
    }
}

/// How far a request has come.
enum Ended<A, E> {
    /// The lock is released or lost, and this is the answer if there is one.
    Over(Result<(), Error>, Option<Result<Response<A>, E>>),
    /// The head of the answer is there, and the lock held until the end of its body.
    GoesOn(Response<A>),
}

impl<S: fmt::Debug, K> fmt::Debug for LockService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockService")
            .field("inner", &self.inner)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
