//! What tower asks of a layer: the service that is ready is the one that is called.

use axum::body::Body;
use axum::http::{Request, Response};
use distributed_locks::Locks;
use locks_tower::LockLayer;
use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::task::{Context, Poll};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt};

/// Fails unless it was ready before it is called. A clone is not.
#[derive(Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { is_ready: false }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        ready(Ok(Response::new(Body::empty())))
    }
}

fn request() -> Request<Body> {
    Request::new(Body::empty())
}

#[tokio::test]
async fn the_service_that_is_ready_is_called() {
    let locks = Locks::connect("memory:readiness").unwrap();
    for key in [Some("/a".to_owned()), None] {
        let layer = LockLayer::new(locks.clone(), move |_: &Request<Body>| key.clone());
        let mut service = layer.layer(Strict::default());
        for _ in 0..3 {
            assert_eq!(service.ready().await.unwrap().call(request()).await.unwrap().status(), 200);
        }
    }
}

/// A request that is refused gives back what it had by being ready.
#[tokio::test]
async fn a_refused_request_takes_no_place_of_a_limit() {
    let locks = Locks::connect("memory:limit").unwrap();
    let layer = LockLayer::new(locks.clone(), |_: &Request<Body>| "/a".to_owned());
    let mut service = layer.layer(ConcurrencyLimitLayer::new(1).layer(Strict::default()));
    let held = locks.lock("/a").acquire().await.unwrap();
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(request()).await.unwrap().status(), 409);
    }
    held.release().await.unwrap();
    // The one that is ready has the only place until it is called.
    poll_fn(|context| service.poll_ready(context)).await.unwrap();
    assert_eq!(service.call(request()).await.unwrap().status(), 200);
}

/// A future that nobody polls holds nothing.
#[tokio::test]
async fn a_call_that_is_not_polled_holds_nothing() {
    let locks = Locks::connect("memory:unpolled").unwrap();
    let layer = LockLayer::new(locks.clone(), |_: &Request<Body>| "/a".to_owned());
    let mut service = layer.layer(Strict::default());
    let unpolled = service.ready().await.unwrap().call(request());
    locks.lock("/a").try_acquire().await.unwrap().expect("it is free").release().await.unwrap();
    assert_eq!(unpolled.await.unwrap().status(), 200);
}
