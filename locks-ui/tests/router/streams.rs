//! Streams: what changes is sent, to who is slow as well, until the page stops.

use crate::support::{HANG, Site, eventually, site, site_with};
use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use futures_util::StreamExt;
use locks_runtime::Locks;
use locks_runtime::store::{Defaults, World};
use locks_runtime::stores::memory::Memory;
use locks_runtime::testing::TestStore;
use locks_ui::Page;
use serde_json::Value;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower::ServiceExt;

/// The events of one reader.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn of(site: &Site, query: &str) -> Self {
        let request = site.allowed(&format!("/events?{query}")).body(Body::empty()).unwrap();
        let answer = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Self { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next one; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                return Some(event.unwrap());
            }
            let part = timeout(HANG, self.body.next()).await.unwrap()?.unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    /// The next one that says so of a row.
    async fn until(&mut self, row: &str, text: &str) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if event["rows"][row].to_string().contains(text) {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn what_changes_is_sent_and_nothing_else() {
    let site = site("stream_changes");
    let (_one, two) = (site.hold("/one").await, site.hold("/two").await);
    let mut events = Events::of(&site, "").await;
    let first = events.next().await.unwrap();
    assert_eq!(first["order"], serde_json::json!(["lock:/one", "lock:/two"]));
    assert!(first["now"].is_u64() && first["above"].is_array() && first["below"].is_array());
    let waiting = site.wait_for("/two", "next");
    let queued = events.until("lock:/two", "longest").await;
    assert!(queued["rows"].as_object().unwrap().keys().all(|row| row == "lock:/two"), "{queued}");
    assert!(queued.get("order").is_none(), "{queued}");
    two.release().await.unwrap();
    let handed_on = events.until("lock:/two", "next").await;
    assert!(!handed_on["rows"]["lock:/two"].to_string().contains("longest"), "{handed_on}");
    let next = timeout(HANG, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
    loop {
        let event = events.next().await.unwrap();
        if event["order"] == serde_json::json!(["lock:/one"]) {
            break;
        }
    }
}

#[tokio::test]
async fn of_many_locks_those_that_are_shown_are_sent() {
    let site = site("stream_many");
    let mut guards = Vec::new();
    for at in 0..2_000 {
        guards.push(site.hold(&format!("/many/{at:04}")).await);
    }
    let mut events = Events::of(&site, "prefix=%2Fmany%2F00").await;
    let first = events.next().await.unwrap();
    assert_eq!(first["rows"].as_object().unwrap().len(), 100);
    assert!(first.to_string().len() < 100_000);
    // What it does not show costs it nothing.
    let _other = site.hold("/other").await;
    let shown = site.hold("/many/00").await;
    let event = events.until("lock:/many/00", "holder").await;
    assert!(event["rows"].as_object().unwrap().len() == 1, "{event}");
    drop(shown);
}

/// The reader takes one event, and none for a while: then it gets the newest state, in one event.
#[tokio::test]
async fn who_is_slow_gets_the_newest_state_late() {
    let site = site("stream_slow");
    let mut events = Events::of(&site, "").await;
    events.next().await.unwrap();
    for round in 0..20 {
        let guard = site.hold(&format!("/round/{round}")).await;
        let row = format!("/round/{round}<");
        // Another reader sees each of them.
        eventually("it is seen", async || site.get("/").await.text.contains(&row)).await;
        guard.release().await.unwrap();
        eventually("it is gone", async || !site.get("/").await.text.contains(&row)).await;
    }
    let last = site.hold("/last").await;
    eventually("it is seen", async || site.get("/").await.text.contains("/last<")).await;
    let event = events.next().await.unwrap();
    assert_eq!(event["order"], serde_json::json!(["lock:/last"]), "{event}");
    assert_eq!(event["rows"].as_object().unwrap().len(), 1, "{event}");
    drop(last);
}

#[tokio::test]
async fn streams_end_with_the_client() {
    let site = site("stream_end");
    let mut events = Events::of(&site, "").await;
    events.next().await.unwrap();
    site.locks.close().await;
    while events.next().await.is_some() {}
    // What is asked after that is answered.
    for _ in 0..2 {
        eventually("it says so", async || {
            let page = site.get("/").await.text;
            page.contains("The store is away") && page.contains("is closed")
        })
        .await;
    }
    assert!(Events::of(&site, "").await.next().await.is_none());
    assert_eq!(
        site.send(Site::plain("/healthz").body(Body::empty()).unwrap()).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

/// By real connections: seven readers, one of which reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn it_stops_with_streams_open() {
    let locks = Locks::connect("memory:stream_stop").unwrap();
    let page = Page::new(locks.clone()).unwrap();
    let token = page.token().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(page.serve(listener, async move { drop(stopped.await) }));
    let mut readers = Vec::new();
    for _ in 0..7 {
        let mut reader = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
        reader.write_all(request.as_bytes()).await.unwrap();
        readers.push(reader);
    }
    for reader in &mut readers[1..] {
        let mut read = String::new();
        while !read.contains("data: ") {
            let mut bytes = [0; 4096];
            let count = timeout(HANG, reader.read(&mut bytes)).await.unwrap().unwrap();
            assert!(count > 0, "{read}");
            read.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
    stop.send(()).unwrap();
    timeout(HANG, serving).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    timeout(HANG, readers[1].read_to_end(&mut rest)).await.unwrap().unwrap();
}

/// The page says so, keeps what it has seen, and says when the store is back.
#[tokio::test]
async fn a_store_that_is_away_is_said_to_be() {
    let store = TestStore::new();
    let site = site_with(store.client(), |page| page);
    let _guard = site.hold("/a").await;
    let mut events = Events::of(&site, "").await;
    events.next().await.unwrap();
    store.faults().set_down(true);
    let said = async |events: &mut Events, is_away: bool| loop {
        let event = events.next().await.unwrap();
        if event.get("above").is_some_and(|above| above.to_string().contains("The store is away") == is_away) {
            return event;
        }
    };
    said(&mut events, true).await;
    let page = site.get("/").await.text;
    assert!(page.contains("The store is away") && page.contains("what is shown is from") && page.contains(">/a</a>"));
    let list = site.get("/locks.json").await;
    assert_eq!(list.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(list.text.contains("\"away\":{") && list.text.contains("\"/a\""), "{}", list.text);
    assert!(site.get("/metrics").await.text.contains("locks_page_store_up 0\n"));
    let health = async || site.send(Site::plain("/healthz").body(Body::empty()).unwrap()).await.status;
    assert_eq!(health().await, StatusCode::SERVICE_UNAVAILABLE);
    store.faults().set_down(false);
    said(&mut events, false).await;
    assert_eq!(site.get("/locks.json").await.status, StatusCode::OK);
    eventually("the probe is well again", async || health().await == StatusCode::OK).await;
}

/// Nobody can look at it any more: nothing of it keeps the client.
#[tokio::test]
async fn a_page_that_is_dropped_ends_its_watch() {
    let store = Arc::new(Memory::new(&World::background().unwrap()));
    let site = site_with(Locks::with_store(Arc::clone(&store) as _, Defaults::default()).unwrap(), |page| page);
    assert_eq!(site.get("/").await.status, StatusCode::OK);
    assert!(Arc::strong_count(&store) > 1, "it is watched");
    drop(site);
    eventually("the client goes", async || Arc::strong_count(&store) == 1).await;
}
