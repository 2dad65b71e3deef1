//! The recipe for `Idempotency-Key`, as the page has it.

use crate::support::{Store, client, in_time, read, serve};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use distributed_locks::{Key, Locks};
use locks_tower::LockLayer;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// The answers that were given, by their keys: in your service a table, written in the transaction of the charge.
type Answers = Arc<Mutex<HashMap<String, String>>>;

fn key(request: &Request) -> Result<String, &'static str> {
    let key = request.headers().get("idempotency-key").ok_or("Idempotency-Key is missing")?;
    let key = key.to_str().map_err(|_| "Idempotency-Key is not a text")?;
    // … with the user in front of it, as the authentication around this layer found him …
    Ok(format!("/charge/{}", Key::encode(key)))
}

async fn charge(State(answers): State<Answers>, headers: HeaderMap) -> (StatusCode, String) {
    let key = format!("{:?}", headers["idempotency-key"]);
    if let Some(answer) = answers.lock().unwrap().get(&key) {
        return (StatusCode::CREATED, answer.clone());
    }
    tokio::task::yield_now().await; // … the charge …
    let mut answers = answers.lock().unwrap();
    let answer = format!("charge {}", answers.len() + 1);
    answers.insert(key, answer.clone());
    (StatusCode::CREATED, answer)
}

fn routes(locks: Locks, answers: Answers) -> Router {
    Router::new().route("/charge", post(charge)).layer(LockLayer::new(locks, key)).with_state(answers)
}

async fn send(address: SocketAddr, key: Option<&str>) -> (u16, String) {
    let request = Request::post(format!("http://{address}/charge"));
    let request = key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key));
    let answer = in_time(client().request(request.body(Body::empty()).unwrap())).await.unwrap();
    let (status, _, text) = read(answer).await;
    (status, text)
}

#[tokio::test]
async fn a_charge_that_is_sent_many_times_at_once_to_two_servers_is_made_once() {
    for store in Store::each() {
        let answers = Answers::default();
        let mut servers = Vec::new();
        for _ in 0..2 {
            servers.push(serve(routes(store.client(), Arc::clone(&answers))).await);
        }
        let sent: Vec<_> = (0..40).map(|number| tokio::spawn(send(servers[number % 2], Some("8f2c/7")))).collect();
        let mut made = 0;
        for sent in sent {
            match in_time(sent).await.unwrap() {
                (201, text) => {
                    assert_eq!(text, "charge 1");
                    made += 1;
                }
                (status, text) => assert_eq!(status, 409, "{text}"),
            }
        }
        assert!(made >= 1);
        assert_eq!(answers.lock().unwrap().len(), 1);
        // Sent again later, the same answer.
        assert_eq!(send(servers[1], Some("8f2c/7")).await, (201, "charge 1".to_owned()));
        assert_eq!(send(servers[0], Some("8f2c")).await, (201, "charge 2".to_owned()));
        assert_eq!(send(servers[0], None).await, (400, "Idempotency-Key is missing\n".to_owned()));
    }
}
