//! tonic, over HTTP/2: a refusal is a status of gRPC.

use crate::requests::Gate;
use crate::support::{Store, in_time, is_free};
use axum::extract::Request as HttpRequest;
use axum::http::uri::PathAndQuery;
use axum::routing::post;
use bytes::{Buf, BufMut};
use distributed_locks::{Key, Locks};
use locks_tower::{LockFence, LockLayer};
use std::pin::Pin;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, body, server};
use tower::service_fn;

/// Messages that are texts.
#[derive(Clone, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let text = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(String::from_utf8(text.to_vec()).map_err(|error| Status::internal(error.to_string()))?))
    }
}

type Answers = Pin<Box<dyn tokio_stream::Stream<Item = Result<String, Status>> + Send>>;

/// `Ship` waits for the gate, `Follow` sends until its client is gone.
fn routes(gate: &Gate) -> Routes {
    let gate = gate.clone();
    let ship = async move |request: HttpRequest| {
        let gate = gate.clone();
        let ship = service_fn(move |request: Request<String>| {
            let gate = gate.clone();
            async move {
                let lock = request.extensions().get::<LockFence>().cloned();
                gate.pass().await;
                Ok::<_, Status>(Response::new(lock.map_or_else(String::new, |lock| lock.key().to_string())))
            }
        });
        answer(server::Grpc::new(Text).unary(ship, request).await)
    };
    let follow = async |request: HttpRequest| {
        let follow = service_fn(|_: Request<String>| async {
            let (sender, answers) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move { while sender.send(Ok("tick".to_owned())).await.is_ok() {} });
            Ok::<_, Status>(Response::new(Box::pin(ReceiverStream::new(answers)) as Answers))
        });
        answer(server::Grpc::new(Text).server_streaming(follow, request).await)
    };
    axum::Router::new().route("/orders.Orders/Ship", post(ship)).route("/orders.Orders/Follow", post(follow)).into()
}

fn answer(answer: http::Response<body::Body>) -> axum::response::Response {
    answer.map(axum::body::Body::new)
}

async fn serve(gate: &Gate, locks: Locks) -> Channel {
    let key = |request: &http::Request<body::Body>| {
        let order = request.headers().get("order").and_then(|order| order.to_str().ok());
        order.map(|order| format!("/order/{}", Key::encode(order))).ok_or("which order, in 100 % of all cases?")
    };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder().layer(LockLayer::new(locks, key)).add_routes(routes(gate));
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

fn of(order: &str) -> Request<String> {
    let mut request = Request::new(String::new());
    request.metadata_mut().insert("order", order.parse().unwrap());
    request
}

async fn ship(channel: &Channel, request: Request<String>) -> Result<String, Status> {
    let mut client = Client::new(channel.clone());
    client.ready().await.unwrap();
    let answer = client.unary(request, PathAndQuery::from_static("/orders.Orders/Ship"), Text);
    in_time(answer).await.map(Response::into_inner)
}

fn pushback(status: &Status) -> Option<&str> {
    status.metadata().get("grpc-retry-pushback-ms").map(|millis| millis.to_str().unwrap())
}

#[tokio::test]
async fn one_call_of_a_key_is_served_and_another_is_aborted() {
    for store in Store::each() {
        let gate = Gate::new();
        let (one, other) = (serve(&gate, store.client()).await, serve(&gate, store.client()).await);
        let served = tokio::spawn({
            let one = one.clone();
            async move { ship(&one, of("7")).await }
        });
        gate.has_begun().await;
        for channel in [&one, &other] {
            let status = ship(channel, of("7")).await.unwrap_err();
            assert_eq!((status.code(), pushback(&status)), (Code::Aborted, Some("1000")), "{status:?}");
        }
        gate.may_end.add_permits(1);
        assert_eq!(in_time(served).await.unwrap().unwrap(), "/order/7");
        // Who has the answer finds the lock free.
        gate.may_end.add_permits(20);
        for channel in [&one, &other].into_iter().cycle().take(20) {
            ship(channel, of("7")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_that_names_nothing_a_loss_and_a_stop_are_told_by_their_codes() {
    let [store, _] = Store::each();
    let (gate, locks) = (Gate::new(), store.client());
    let channel = serve(&gate, locks.clone()).await;
    let status = ship(&channel, Request::new(String::new())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!((status.message(), pushback(&status)), ("which order, in 100 % of all cases?", None));

    let served = tokio::spawn({
        let channel = channel.clone();
        async move { ship(&channel, of("7")).await }
    });
    gate.has_begun().await;
    assert!(store.client().force_release("/order/7").await.unwrap());
    let status = in_time(served).await.unwrap().unwrap_err();
    assert_eq!((status.code(), pushback(&status)), (Code::Internal, None), "{status:?}");

    locks.drain(Duration::ZERO).await;
    let status = ship(&channel, of("7")).await.unwrap_err();
    assert_eq!((status.code(), pushback(&status)), (Code::Unavailable, Some("1000")), "{status:?}");
}

#[tokio::test]
async fn a_stream_holds_its_lock_until_it_ends() {
    for (number, store) in Store::each().into_iter().enumerate() {
        let channel = serve(&Gate::new(), store.client()).await;
        let mut client = Client::new(channel.clone());
        client.ready().await.unwrap();
        let follow = client.server_streaming(of("7"), PathAndQuery::from_static("/orders.Orders/Follow"), Text);
        let mut answers = in_time(follow).await.unwrap().into_inner();
        assert_eq!(in_time(answers.message()).await.unwrap().as_deref(), Some("tick"));
        assert_eq!(ship(&channel, of("7")).await.unwrap_err().code(), Code::Aborted);
        if number == 0 {
            assert!(store.client().force_release("/order/7").await.unwrap());
            let cut_off = async {
                loop {
                    if let Err(status) = answers.message().await.map(Option::unwrap) {
                        return status;
                    }
                }
            };
            assert_ne!(in_time(cut_off).await.code(), Code::Ok);
        }
        drop(answers);
        is_free(&store.client(), "/order/7").await;
    }
}
