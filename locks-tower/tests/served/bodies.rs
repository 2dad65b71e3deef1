//! Until when a lock is held: answers that are produced while they are sent.

use crate::support::{Store, in_time, is_free, post, read, serve};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::Response;
use axum::routing::post as on_post;
use distributed_locks::Locks;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use locks_tower::{LockLayer, Until};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// The body of the last answer.
type Writer = Arc<Mutex<Option<Sender<Bytes, Infallible>>>>;

const KEY: &str = "/export";

/// `POST /` is answered with what the test writes, and `POST /4` says before that it will have four bytes.
fn routes(locks: &Locks, until: Until) -> (Router, Writer) {
    let writer = Writer::default();
    let answer = {
        let writer = Arc::clone(&writer);
        async move |request: Request| {
            let (sender, channel) = Channel::new(1);
            *writer.lock().unwrap() = Some(sender);
            let mut answer = Response::new(Body::new(channel));
            if let Ok(length) = request.uri().path()[1..].parse::<u64>() {
                answer.headers_mut().insert("content-length", length.into());
            }
            answer
        }
    };
    let layer = LockLayer::new(locks.clone(), |_: &Request| KEY.to_owned()).until(until);
    (Router::new().fallback_service(on_post(answer)).layer(layer), writer)
}

fn taken(writer: &Writer) -> Sender<Bytes, Infallible> {
    writer.lock().unwrap().take().unwrap()
}

async fn is_held(locks: &Locks) -> bool {
    locks.inspect(KEY).await.unwrap().is_some()
}

#[tokio::test]
async fn a_lock_is_held_until_the_body_has_ended_and_free_when_the_client_has_it() {
    for store in Store::each() {
        let (routes, writer) = routes(&store.client(), Until::Body);
        let (address, locks) = (serve(routes).await, store.client());
        for path in ["/", "/4"] {
            let mut answer = post(address, path).await;
            let mut writer = taken(&writer);
            writer.send_data(Bytes::from("ab")).await.unwrap();
            let frame = in_time(answer.body_mut().frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "ab");
            assert!(is_held(&locks).await, "while it is sent");
            assert_eq!(read(post(address, "/").await).await.0, 409);
            writer.send_data(Bytes::from("cd")).await.unwrap();
            if path == "/" {
                drop(writer);
            } else {
                // The client has all of it, though the body has not been told to end.
                drop(in_time(answer.body_mut().frame()).await);
            }
            let rest = in_time(answer.into_body().collect()).await.unwrap().to_bytes();
            assert_eq!(rest.len(), if path == "/" { 2 } else { 0 });
            assert!(!is_held(&locks).await, "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_reads_gives_the_lock_back() {
    for store in Store::each() {
        let (routes, writer) = routes(&store.client(), Until::Body);
        let address = serve(routes).await;
        let answer = post(address, "/").await;
        let mut writer = taken(&writer);
        drop(answer);
        // Until the server notices.
        while writer.send_data(Bytes::from("more")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        is_free(&store.client(), KEY).await;
    }
}

#[tokio::test]
async fn a_body_whose_lock_is_lost_is_cut_off_and_never_passes_for_a_whole_one() {
    let [store, _] = Store::each();
    let (routes, writer) = routes(&store.client(), Until::Body);
    let address = serve(routes).await;
    for path in ["/", "/4"] {
        let answer = post(address, path).await;
        let mut writer = taken(&writer);
        assert!(store.client().force_release(KEY).await.unwrap());
        // Though nothing comes any more that could be refused.
        assert!(in_time(answer.into_body().collect()).await.is_err(), "{path}");
        assert!(writer.send_data(Bytes::from("x")).await.is_err(), "the body is dropped");
    }
}

#[tokio::test]
async fn on_request_the_lock_ends_with_the_head() {
    for store in Store::each() {
        let (routes, writer) = routes(&store.client(), Until::Head);
        let (address, locks) = (serve(routes).await, store.client());
        let answer = post(address, "/").await;
        assert!(!is_held(&locks).await);
        let mut writer = taken(&writer);
        writer.send_data(Bytes::from("without the lock")).await.unwrap();
        drop(writer);
        assert_eq!(read(answer).await.2, "without the lock");
    }
}
