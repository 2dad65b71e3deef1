//! axum, over HTTP/1.1: who is served, who is refused, and with which answer.

use crate::support::{Store, client, in_time, is_free, post, read, serve};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request};
use axum::http::{Response, StatusCode};
use axum::middleware::map_response;
use axum::routing::{get, post as on_post};
use distributed_locks::testing::TestStore;
use distributed_locks::{ErrorKind, Key, Locks, Mode, distributed_lock};
use locks_tower::{LockFence, LockLayer, Refused};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Lets requests begin and end.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) begun: Arc<Semaphore>,
    pub(crate) may_end: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { begun: closed(), may_end: closed(), dropped: closed() }
    }

    pub(crate) async fn pass(&self) {
        let end = Dropped(Arc::clone(&self.dropped));
        self.begun.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        std::mem::forget(end);
    }

    pub(crate) async fn has_begun(&self) {
        in_time(self.begun.acquire()).await.unwrap().forget();
    }

    async fn was_dropped(&self) {
        in_time(self.dropped.acquire()).await.unwrap().forget();
    }
}

struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

fn key(request: &Request) -> String {
    format!("/order{}", request.uri().path())
}

/// `POST /…` is served under the lock of its path, and lasts until the gate lets it end.
fn routes(gate: &Gate) -> Router {
    let gate = gate.clone();
    Router::new().route(
        "/{id}",
        on_post(async move |Extension(lock): Extension<LockFence>| {
            gate.pass().await;
            assert_eq!(distributed_locks::current().unwrap().fence(), lock.fence());
            format!("{} {}", lock.key(), lock.fence().to_u64())
        }),
    )
}

fn layer(locks: &Locks) -> LockLayer<impl Fn(&Request) -> String + Clone + Send + Sync + 'static> {
    LockLayer::new(locks.clone(), key)
}

#[tokio::test]
async fn one_request_of_a_key_is_served_and_another_on_another_server_is_refused() {
    for store in Store::each() {
        let (gate, ours, theirs) = (Gate::new(), store.client(), store.client());
        let one = serve(routes(&gate).layer(layer(&ours))).await;
        let other = layer(&theirs).busy_status(StatusCode::LOCKED).retry_after(Duration::from_millis(2500));
        let other = serve(routes(&gate).layer(other)).await;

        let served = tokio::spawn(post(one, "/7"));
        gate.has_begun().await;
        let (status, after, text) = read(post(one, "/7").await).await;
        assert_eq!((status, after.as_deref()), (409, Some("1")));
        assert!(text.contains("another request") && !text.contains(".rs"), "clients are not told who holds it: {text}");
        let (status, after, _) = read(post(other, "/7").await).await;
        assert_eq!((status, after.as_deref()), (423, Some("3")));
        // Of another key.
        let beside = tokio::spawn(post(other, "/8"));
        gate.has_begun().await;
        gate.may_end.add_permits(2);
        let (status, after, first) = read(in_time(served).await.unwrap()).await;
        assert_eq!((status, after), (200, None));
        assert!(first.starts_with("/order/7 "), "{first}");
        assert_eq!(read(in_time(beside).await.unwrap()).await.0, 200);

        // Who has the whole answer finds the lock free, at once, on whatever server.
        gate.may_end.add_permits(20);
        let mut fences = vec![first.split(' ').nth(1).unwrap().parse::<u64>().unwrap()];
        for address in [one, other].into_iter().cycle().take(20) {
            let (status, _, text) = read(post(address, "/7").await).await;
            assert_eq!(status, 200, "{text}");
            fences.push(text.split(' ').nth(1).unwrap().parse().unwrap());
        }
        assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    }
}

#[tokio::test]
async fn with_a_wait_requests_queue_and_no_more_than_may() {
    for store in Store::each() {
        let (gate, locks) = (Gate::new(), store.client());
        let address = serve(routes(&gate).layer(layer(&locks).wait(Duration::from_secs(300)).max_waiting(1))).await;
        let short = serve(routes(&gate).layer(layer(&store.client()).wait(Duration::from_millis(20)))).await;
        let first = tokio::spawn(post(address, "/7"));
        gate.has_begun().await;
        assert_eq!(read(post(short, "/7").await).await.0, 409, "after its wait");
        let second = tokio::spawn(post(address, "/7"));
        while locks.status().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read(post(address, "/7").await).await.0, 409, "one too many");
        gate.may_end.add_permits(1);
        assert_eq!(read(in_time(first).await.unwrap()).await.0, 200);
        gate.has_begun().await;
        gate.may_end.add_permits(1);
        assert_eq!(read(in_time(second).await.unwrap()).await.0, 200);
        assert_eq!(gate.begun.available_permits(), 0, "two were served");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_gives_the_lock_back() {
    for store in Store::each() {
        let (gate, locks) = (Gate::new(), store.client());
        let address = serve(routes(&gate).layer(layer(&locks))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"POST /7 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        gate.has_begun().await;
        drop(client);
        gate.was_dropped().await;
        is_free(&store.client(), "/order/7").await;

        // And who waits leaves the queue.
        let held = store.client().lock("/order/7").acquire().await.unwrap();
        let address = serve(routes(&gate).layer(layer(&locks).wait(Duration::from_secs(300)))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"POST /7 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        while locks.status().waiting == 0 {
            tokio::task::yield_now().await;
        }
        drop(client);
        while locks.status().waiting > 0 {
            tokio::task::yield_now().await;
        }
        held.release().await.unwrap();
        is_free(&locks, "/order/7").await;
        assert_eq!(gate.begun.available_permits(), 0, "nobody was served");
    }
}

#[tokio::test]
async fn a_handler_whose_lock_is_lost_is_dropped_and_nothing_invites_to_send_it_again() {
    for store in [&Store::each()[0]] {
        let (gate, locks) = (Gate::new(), store.client());
        let address = serve(routes(&gate).layer(layer(&locks))).await;
        let served = tokio::spawn(post(address, "/7"));
        gate.has_begun().await;
        assert!(store.client().force_release("/order/7").await.unwrap());
        let (status, after, text) = read(in_time(served).await.unwrap()).await;
        assert_eq!((status, after), (500, None), "{text}");
        assert!(text.contains("a part of it may have been done"), "{text}");
        gate.was_dropped().await;
    }
}

#[tokio::test]
async fn a_service_that_stops_refuses_what_has_not_begun_and_stops_what_has() {
    for store in Store::each() {
        let (gate, locks) = (Gate::new(), store.client());
        let address = serve(routes(&gate).layer(layer(&locks))).await;
        let served = tokio::spawn(post(address, "/7"));
        gate.has_begun().await;
        let draining = tokio::spawn({
            let locks = locks.clone();
            async move { locks.drain(Duration::from_secs(300)).await }
        });
        in_time(locks.stopping()).await;
        let (status, after, text) = read(post(address, "/8").await).await;
        assert_eq!((status, after.as_deref()), (503, Some("1")), "{text}");
        assert!(text.contains("stopping"), "{text}");
        // The grace is for what has begun.
        gate.may_end.add_permits(1);
        assert_eq!(read(in_time(served).await.unwrap()).await.0, 200);
        assert!(in_time(draining).await.unwrap().is_complete());
    }
}

#[tokio::test]
async fn what_cannot_be_locked_is_a_bad_request_and_what_needs_no_lock_is_served() {
    async fn handler() -> &'static str {
        "served"
    }
    /// Reading needs no lock; a change names its order.
    fn key(request: &Request) -> Result<Option<String>, &'static str> {
        if request.method().is_safe() {
            return Ok(None);
        }
        let id = request.uri().query().ok_or("name the order: ?7")?;
        Ok(Some(format!("/order/{}", Key::encode(id))))
    }
    let [store, _] = Store::each();
    let locks = store.client();
    let layer = LockLayer::new(locks.clone(), key);
    let address = serve(Router::new().route("/", get(handler).post(handler)).layer(layer)).await;
    let held = locks.lock("/order/7").acquire().await.unwrap();

    assert_eq!(read(post(address, "/").await).await, (400, None, "name the order: ?7\n".to_owned()));
    let (status, after, text) = read(post(address, &format!("/?{}", "x".repeat(600))).await).await;
    assert_eq!((status, after), (400, None), "{text}");
    assert_eq!(read(post(address, "/?7").await).await.0, 409);
    // It cannot climb into another's key.
    assert_eq!(read(post(address, "/?8/../7").await).await.0, 200);
    let reads = http::Request::get(format!("http://{address}/?7")).body(Body::empty()).unwrap();
    assert_eq!(read(in_time(client().request(reads)).await.unwrap()).await, (200, None, "served".to_owned()));
    held.release().await.unwrap();
}

#[tokio::test]
async fn readers_and_permits_are_served_beside_each_other() {
    let [store, _] = Store::each();
    let gate = Gate::new();
    let address = serve(routes(&gate).layer(layer(&store.client()).mode(Mode::Permits(2)))).await;
    let served: Vec<_> = (0..2).map(|_| tokio::spawn(post(address, "/7"))).collect();
    gate.has_begun().await;
    gate.has_begun().await;
    assert_eq!(read(post(address, "/7").await).await.0, 409);
    gate.may_end.add_permits(2);
    for served in served {
        assert_eq!(read(in_time(served).await.unwrap()).await.0, 200);
    }
}

#[tokio::test]
async fn a_function_with_the_same_key_joins_the_lock_of_its_request() {
    #[distributed_lock(key = "/order/{id}", wait = 0, client = locks)]
    async fn ship(locks: &Locks, id: &str) -> Result<u64, distributed_locks::Error> {
        Ok(distributed_locks::current().unwrap().fence().to_u64())
    }
    for store in Store::each() {
        let locks = store.client();
        let inner = locks.clone();
        let routes = Router::new().route(
            "/{id}",
            on_post(async move |Path(id): Path<String>, Extension(lock): Extension<LockFence>| {
                format!("{} {}", ship(&inner, &id).await.unwrap(), lock.fence().to_u64())
            }),
        );
        let address = serve(routes.layer(layer(&locks))).await;
        let (status, _, text) = read(post(address, "/7").await).await;
        let (joined, own) = text.split_once(' ').unwrap();
        assert_eq!((status, joined), (200, own));
    }
}

/// A layer around it sees why, and answers in its own form.
#[tokio::test]
async fn the_reason_is_there_for_who_wants_to_log_it() {
    let [store, _] = Store::each();
    let (gate, seen) = (Gate::new(), Arc::new(Mutex::new(None)));
    let notes = Arc::clone(&seen);
    let log = map_response(move |answer: Response<Body>| {
        if let Some(refused) = answer.extensions().get::<Refused>() {
            let error = refused.error();
            *notes.lock().unwrap() = Some((error.kind(), error.to_string()));
        }
        std::future::ready(answer)
    });
    let address = serve(routes(&gate).layer(layer(&store.client()).name("ship")).layer(log)).await;
    let held = store.client().lock("/order/7").name("the other").acquire().await.unwrap();
    assert_eq!(read(post(address, "/7").await).await.0, 409);
    let (kind, text) = seen.lock().unwrap().take().unwrap();
    assert_eq!(kind, ErrorKind::Busy);
    assert!(text.contains("/order/7") && text.contains("the other"), "{text}");
    held.release().await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_away_is_a_service_that_is_not_available_for_now() {
    let store = TestStore::new();
    let (gate, locks) = (Gate::new(), store.client());
    let address = serve(routes(&gate).layer(layer(&locks).retry_after(Duration::from_secs(5)))).await;
    store.faults().set_down(true);
    let (status, after, text) = read(post(address, "/7").await).await;
    assert_eq!((status, after.as_deref()), (503, Some("5")), "{text}");
    // The user of the store is gone: to send it again is of no use.
    store.faults().set_down(false);
    store.faults().set_refusing(true);
    let (status, after, text) = read(post(address, "/7").await).await;
    assert_eq!((status, after), (500, None), "{text}");
    store.faults().set_refusing(false);
    gate.may_end.add_permits(1);
    assert_eq!(read(post(address, "/7").await).await.0, 200);
}

#[tokio::test]
async fn a_handler_that_panics_releases_the_lock() {
    let [store, _] = Store::each();
    let routes = Router::new().route("/{id}", on_post(async || -> String { panic!("on purpose") }));
    let address: SocketAddr = serve(routes.layer(layer(&store.client()))).await;
    let request = http::Request::post(format!("http://{address}/7")).body(Body::empty()).unwrap();
    assert!(in_time(client().request(request)).await.is_err(), "the connection is closed");
    is_free(&store.client(), "/order/7").await;
}
