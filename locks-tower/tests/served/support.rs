//! Stores, servers and clients.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use distributed_locks::Locks;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How long a test waits before it fails.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(60);

/// A store for one test.
pub(crate) enum Store {
    Memory(u32),
    Files(TempDir),
}

impl Store {
    /// Each of those that need no server.
    pub(crate) fn each() -> [Self; 2] {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        [Self::Memory(NUMBER.fetch_add(1, Ordering::Relaxed)), Self::Files(tempfile::tempdir().unwrap())]
    }

    /// A client of its own.
    pub(crate) fn client(&self) -> Locks {
        let url = match self {
            Self::Memory(number) => format!("memory:tower{number}"),
            Self::Files(directory) => format!("file://{}", directory.path().join("locks").display()),
        };
        Locks::connect(url).unwrap()
    }
}

/// Serves these routes, for as long as the test lasts.
pub(crate) async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// A client with connections of its own.
pub(crate) fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The head of the answer to `POST path`.
pub(crate) async fn post(address: SocketAddr, path: &str) -> Response<Incoming> {
    let request = Request::post(format!("http://{address}{path}")).body(Body::empty()).unwrap();
    in_time(client().request(request)).await.unwrap()
}

/// Status, `Retry-After`, and text of an answer.
pub(crate) async fn read(answer: Response<Incoming>) -> (u16, Option<String>, String) {
    let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let text = in_time(answer.into_body().collect()).await.unwrap().to_bytes();
    (status, after, String::from_utf8(text.to_vec()).unwrap())
}

pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANG_LIMIT, future).await.unwrap_or_else(|_| panic!("it takes longer than {HANG_LIMIT:?}"))
}

/// Waits until nobody holds the lock or waits for it.
pub(crate) async fn is_free(locks: &Locks, key: &str) {
    let begun = Instant::now();
    while locks.inspect(key).await.unwrap().is_some() {
        assert!(begun.elapsed() < HANG_LIMIT, "{key} stays taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
